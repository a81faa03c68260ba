# The hub alone: it needs Postgres (DATABASE_URL) and, off loopback, a certificate.
# Build from the root of the repository: docker build -f deploy/hub.Dockerfile -t coord-hub .
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements/run.lock requirements/run.lock
RUN python -m venv /opt/coord \
    && /opt/coord/bin/pip install --no-cache-dir --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md ./
COPY coord coord
COPY hub hub
COPY protocol protocol
COPY spoke spoke
COPY sql sql
# The build backend is fetched for this stage only; nothing of it reaches the image.
RUN /opt/coord/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim-bookworm
# Debian's own updates are wanted at each build, so no versions here.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes openssl tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/coord --create-home coord \
    && install --directory --owner=coord --group=coord --mode=0700 /keys /postgres-keys \
    && chmod 0700 /var/lib/coord
COPY --from=build /opt/coord /opt/coord
COPY --chmod=0555 deploy/make-keys.sh /usr/local/bin/coord-make-keys
ENV PATH=/opt/coord/bin:$PATH \
    HOME=/var/lib/coord \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/coord
EXPOSE 7443 7480
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import socket; socket.create_connection(('127.0.0.1', 7443), 2).close()"]
ENTRYPOINT ["tini", "--"]
CMD ["coordctl", "hub", "serve"]
