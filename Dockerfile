# syntax=docker/dockerfile:1
FROM swift:6.3-bookworm AS build

# The release of the base image decides the versions of these libraries.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        libcrypt-dev libgnutls28-dev libhiredis-dev libmicrohttpd-dev libpq-dev libssl-dev libyaml-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /source
COPY Package.swift ./
COPY Sources Sources
# The manifest names them, so the package manager wants to see them.
COPY Tests Tests
RUN swift build --configuration release --static-swift-stdlib --product celery-beat-exporter \
    && strip -o /celery-beat-exporter .build/release/celery-beat-exporter

FROM debian:bookworm-slim

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates libhiredis0.14 libmicrohttpd12 libpq5 libssl3 libstdc++6 libyaml-0-2 tzdata \
    && rm -rf /var/lib/apt/lists/*

COPY --from=build /celery-beat-exporter /usr/local/bin/celery-beat-exporter

LABEL org.opencontainers.image.title="celery-beat-exporter" \
      org.opencontainers.image.description="Tells Prometheus whether Celery beat lives" \
      org.opencontainers.image.licenses="Apache-2.0"

USER 65534:65534
EXPOSE 9808
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/local/bin/celery-beat-exporter", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/celery-beat-exporter"]
