# The program in a small image: no shell is needed to run it, and none runs in it.
#
# For an image that anyone can build again, name the base images by digest (debian@sha256:...) and give the
# builder a fixed time: docs/install.md.
ARG SWIFT_IMAGE=swift:6.3-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${SWIFT_IMAGE} AS build

# The release of the base image decides the versions of these libraries.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        libcrypt-dev libgnutls28-dev libhiredis-dev libmicrohttpd-dev libpq-dev libyaml-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /source
COPY Package.swift ./
COPY Sources Sources
# The manifest names the tests, so the package manager wants to see them.
COPY Tests Tests
# As `make build` does it: libstdc++ within the program.
RUN mkdir archives && ln -s "$(clang -print-file-name=libstdc++.a)" archives/ \
    && swift build --configuration release --static-swift-stdlib --disable-local-rpath -Xlinker -L/source/archives \
        --product celery-beat-exporter \
    && strip -o /celery-beat-exporter .build/release/celery-beat-exporter

FROM ${DEBIAN_IMAGE}

# What installing writes down besides the packages differs from build to build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates libgnutls30 libhiredis0.14 libmicrohttpd12 libpq5 libyaml-0-2 tzdata zlib1g \
    && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/ldconfig/aux-cache

COPY --from=build /celery-beat-exporter /usr/local/bin/celery-beat-exporter

LABEL org.opencontainers.image.title="celery-beat-exporter" \
      org.opencontainers.image.description="Tells Prometheus whether Celery beat is alive" \
      org.opencontainers.image.source="https://github.com/celery-beat-exporter/celery-beat-exporter" \
      org.opencontainers.image.licenses="Apache-2.0"

# Numeric, so that Kubernetes can see that it is not root's.
USER 65534:65534
EXPOSE 9808
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/celery-beat-exporter", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/celery-beat-exporter"]
