# syntax=docker/dockerfile:1

# The binary. Dependencies are built in a layer of their own, which changes with Cargo.lock only.
FROM rust:1.95-bookworm AS build
# `dist` takes minutes and is the fastest; `release` and `dev` build sooner.
ARG PROFILE=dist
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --profile "$PROFILE" --locked --bin screen-record-gateway \
    && rm -r src
COPY src src
# What --version names besides the version: `docker build --build-arg BUILD_COMMIT=$(git rev-parse --short=12 HEAD)`.
ARG BUILD_COMMIT
RUN touch src/main.rs src/lib.rs \
    && cargo build --profile "$PROFILE" --locked --bin screen-record-gateway \
    && cp target/*/screen-record-gateway /screen-record-gateway

# A static `wget` for health checks, the one thing besides the binary.
FROM debian:12-slim AS probe
RUN apt-get update \
    && apt-get install -y --no-install-recommends busybox-static=1:1.35.* \
    && rm -rf /var/lib/apt/lists/*

# No shell, no package manager, not root; root certificates are in it.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=probe /bin/busybox /bin/wget
COPY --from=build /screen-record-gateway /screen-record-gateway
ENV GATEWAY_LISTEN=0.0.0.0:8080 \
    GATEWAY_ADMIN_LISTEN=0.0.0.0:8081
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/bin/wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8081/livez"]
ENTRYPOINT ["/screen-record-gateway"]
CMD ["serve"]
