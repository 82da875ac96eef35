# The image of Durabus, a drop-in for the one of NATS Streaming Server: same entry point, same default arguments, same ports.
#
#   docker build -t durabus .                            runs as root, like the original: it can write a root-owned volume
#   docker build -t durabus:nonroot --target nonroot .   runs as user 10001: for clusters that forbid root
#
#   docker run -v bus:/data durabus -m 8222 -store FILE -dir /data      keeps what it acknowledged in the volume "bus"

ARG PYTHON=3.11-slim

# Compiles the wheel and gathers what it needs; nothing of this stage but the result is in the image.
FROM python:${PYTHON} AS builder
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN DURABUS_BUILD_EXTENSION=yes pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && pip install --no-cache-dir --no-compile --prefix /durabus "durabus[sql,crypto] @ file://$(ls /wheels/durabus-*.whl)"

FROM python:${PYTHON} AS runtime
COPY --from=builder /durabus /usr/local
# Compiled once here, so that a start does not have to, nor a read-only file system slow it down.
RUN python -m compileall -q /usr/local/lib/python3*/site-packages \
 && ln -s /usr/local/bin/nats-streaming-server /nats-streaming-server \
 && /nats-streaming-server --version
EXPOSE 4222 8222
ENTRYPOINT ["/nats-streaming-server"]
CMD ["-m", "8222"]

FROM runtime AS nonroot
# A volume at /data that Docker makes is this directory at first, so it can be written: -store FILE -dir /data
RUN useradd --system --uid 10001 --no-create-home durabus \
 && install --directory --owner 10001 --mode 0700 /data
USER 10001

# The default: what is built without --target.
FROM runtime AS root
