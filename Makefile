# The commands of the project. `make demo` and `make test` install what they need (apt-get, pip).

BINARY := .build/release/celery-beat-exporter
BUILD_FLAGS := -c release --static-swift-stdlib --explicit-target-dependency-import-check error

.PHONY: build run demo test lint bench dependencies

## Builds the program.
build: dependencies
	swift build $(BUILD_FLAGS) --product celery-beat-exporter

## Runs it with what the environment says, for example: CELERY_BROKER_URL=redis://localhost make run
run: build
	$(BINARY)

## Shows everything at work on a real Celery, and stops it all on Ctrl-C.
demo: build
	.venv/bin/python demo/demo.py

## What the build and the demo need of Debian's packages and PyPI's.
dependencies:
	demo/install
