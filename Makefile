# The commands of the project. Each installs what it needs first (apt-get, pip): see demo/install.

BINARY := .build/release/celery-beat-exporter
PYTHON := .venv/bin/python
STRICT := --explicit-target-dependency-import-check error
# libstdc++ within the program: 0.7 MB of memory and a millisecond of the start less. The linker takes the first it finds.
# No rpath: libraries are looked for where the system has them, not beside the program.
ARCHIVES := .build/archives
STATIC := --static-swift-stdlib --disable-local-rpath -Xlinker -L$(CURDIR)/$(ARCHIVES)
THREAD_SANITIZER := --sanitize=thread --scratch-path .build-tsan -Xlinker $(CURDIR)/.build-tsan/mutex.o
# Live tests in which much happens at once. Left out: what holds memory to bounds, of which a sanitizer needs more, and what
# changes the clock by libfaketime, which does not go with it.
SANITIZED := $(addprefix Tests/live/test_,faults.py redbeat_faults.py reload.py targets.py serving.py) \
	-k "not (leave_nothing_behind or many_targets or exporters_clock_is_off)"
PYTHON_FILES := demo recorder Tests alerts grafana benchmarks deploy

.PHONY: build run demo test test-sanitize fuzz soak lint format bench bench-beat screenshots docs symbol-order deb test-package test-image dependencies

## Builds the program: .build/release/celery-beat-exporter
build: dependencies
	mkdir -p $(ARCHIVES)
	ln -sf "$$(clang -print-file-name=libstdc++.a)" $(ARCHIVES)/libstdc++.a
	swift build -c release $(STATIC) $(STRICT) --product celery-beat-exporter

## Runs it with what the environment says, for example: CELERY_BROKER_URL=redis://localhost make run
run: build
	$(BINARY)

## Shows everything at work on a real Celery, and on Ctrl-C stops it all.
demo: build
	$(PYTHON) demo/demo.py

## Unit tests, tests against real servers and packages, alert tests, and the whole with Prometheus and Alertmanager.
test: build
	demo/install test
	alerts/tests/run
	$(PYTHON) Tests/with_servers.py swift test $(STRICT)
	$(PYTHON) -m pytest -q -n 8 --dist loadfile --no-loadscope-reorder Tests/live

## Swift tests under the thread and the address sanitizer, faults against a program under the thread sanitizer: 20 minutes.
test-sanitize: dependencies
	demo/install test
	mkdir -p .build-tsan
	clang -O1 -fPIC -c Tests/sanitizers/mutex.c -o .build-tsan/mutex.o
	$(PYTHON) Tests/with_servers.py swift test $(STRICT) $(THREAD_SANITIZER)
	LSAN_OPTIONS="suppressions=$(CURDIR)/Tests/sanitizers/leaks.txt" \
		$(PYTHON) Tests/with_servers.py swift test $(STRICT) --sanitize=address --scratch-path .build-asan
	swift build $(STRICT) $(THREAD_SANITIZER) --product celery-beat-exporter
	CELERY_BEAT_EXPORTER_BINARY=.build-tsan/debug/celery-beat-exporter TSAN_OPTIONS="halt_on_error=1 atexit_sleep_ms=0" \
		$(PYTHON) -m pytest -q -n 4 --dist loadfile $(SANITIZED)

## Every reader of foreign data under hostile inputs, others at each run: ten minutes, or FUZZ_SECONDS.
fuzz: export FUZZ_SECONDS ?= 600
fuzz: export FUZZ_SEED ?= $(shell date +%s)
fuzz: dependencies
	swift test -c release -Xswiftc -enable-testing $(STRICT) --scratch-path .build-fuzz --filter FuzzTests

## Half an hour of faults under 200 scrapes a second.
soak: build
	demo/install test
	$(PYTHON) Tests/soak/soak.py --minutes $(or $(SOAK_MINUTES),30) --seed $(or $(SOAK_SEED),1)

## Formats and style, without changing anything.
lint:
	demo/install lint
	swift format lint --strict --recursive Sources Tests Package.swift
	.venv/bin/ruff check $(PYTHON_FILES)
	.venv/bin/ruff format --check $(PYTHON_FILES)
	shellcheck demo/install .ci/run alerts/tests/run deploy/debian/build deploy/debian/p* deploy/kubernetes/prometheus-rule
	.venv/bin/hadolint Dockerfile demo/Dockerfile
	promtool check rules alerts/celery-beat.rules.yml
	$(PYTHON) grafana/check.py
	deploy/kubernetes/prometheus-rule | diff deploy/kubernetes/monitoring/prometheusrule.yaml -

## Fixes what can be fixed of the style.
format: dependencies
	demo/install lint
	swift format --in-place --recursive Sources Tests Package.swift
	.venv/bin/ruff format $(PYTHON_FILES)
	deploy/kubernetes/prometheus-rule >deploy/kubernetes/monitoring/prometheusrule.yaml

## Every figure of docs/performance.md, beside other programs in one run: about half an hour.
bench: build
	demo/install bench
	$(PYTHON) benchmarks/machine.py
	$(PYTHON) benchmarks/serving.py
	$(PYTHON) benchmarks/peers.py
	$(PYTHON) benchmarks/start.py
	$(PYTHON) benchmarks/memory.py
	$(PYTHON) benchmarks/processor.py
	$(PYTHON) benchmarks/redis_collection.py
	$(PYTHON) benchmarks/tasks.py

## The pictures of the status page in docs/images.
screenshots: build
	demo/install test
	$(PYTHON) demo/screenshots.py

## What docs/ takes from the program: flags.md and metrics-reference.md.
docs: build
	$(PYTHON) demo/reference.py

## How soon each dead beat is known (half an hour), beats with thousands of entries, and an hour of normal life without a page.
bench-beat: build
	demo/install test
	$(PYTHON) benchmarks/detection.py
	$(PYTHON) benchmarks/busy_redbeat.py
	$(PYTHON) benchmarks/normal_life.py

## Sources/celery-beat-exporter/symbol-order anew: the functions that the linker places side by side, to save memory.
symbol-order: build
	demo/install bench
	$(PYTHON) benchmarks/symbol_order.py

## The Debian package, for the release that it is built on: .build/celery-beat-exporter_VERSION_ARCHITECTURE.deb
deb: build
	demo/install package
	deploy/debian/build $(BINARY) .build

## The Debian package and the unit in a Debian with systemd; the Kubernetes manifests; beat's probe. As root.
test-package: build
	demo/install package
	$(PYTHON) -m pytest -q Tests/packaging --ignore-glob='*/test_image.py' --ignore-glob='*/test_compose.py'

## The image, built twice and run, and compose.yaml with it: ten minutes. As root.
test-image: build
	demo/install package
	$(PYTHON) -m pytest -q Tests/packaging/test_image.py Tests/packaging/test_compose.py

dependencies:
	demo/install
