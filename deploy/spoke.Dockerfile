# A spoke: dials out to its hub, makes git worktrees, runs agents in them. Nothing connects to it.
# Build from the root of the repository: docker build -f deploy/spoke.Dockerfile -t coord-spoke .
# The agents' own programs are not in here: build your image FROM this one and add them.
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
    && apt-get install --no-install-recommends --yes ca-certificates git openssh-client tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/coord --create-home coord \
    && install --directory --owner=coord --group=coord --mode=0700 /var/lib/coord/spoke \
    && chmod 0700 /var/lib/coord
COPY --from=build /opt/coord /opt/coord
COPY --chmod=0555 deploy/start-spoke.sh /usr/local/bin/coord-start-spoke
ENV PATH=/opt/coord/bin:$PATH \
    HOME=/var/lib/coord \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/coord
STOPSIGNAL SIGTERM
# Healthy while the process that the lock file names is a daemon.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["sh", "-c", "grep -qs coordctl \"/proc/$(cat /var/lib/coord/spoke/lock)/cmdline\""]
ENTRYPOINT ["tini", "--"]
CMD ["coord-start-spoke"]
