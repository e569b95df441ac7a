# The worker with the handlers of this folder. Build and try:
#   docker build -t openiap-worker .
#   docker run --rm openiap-worker demo
# Work, as careful as it goes:
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     --stop-timeout 45 -v worker-state:/var/lib/openiap-worker \
#     -e apiurl -e OPENIAP_USERNAME -e OPENIAP_PASSWORD openiap-worker run --handlers handlers.invoices
#
# What it is made of (CycloneDX):
#   docker run --rm --entrypoint cat openiap-worker /opt/worker/sbom.cdx.json
#
# Debian and not Alpine: openiap-edge brings its native library for glibc alone.
# A tag is another image next week. For one that is the same next year: config/container/release, which
# refuses a base without its digest and fills in the labels.

ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
# Every file by its hash. No stage has a compiler, and none is needed: all is wheels but openiap-edge,
# whose source package brings its native library along.
COPY config/container/build.txt config/container/requirements.txt config/container/sbom.txt ./
RUN python -m venv /opt/worker \
 && /opt/worker/bin/pip install --require-hashes --only-binary :all: -r build.txt \
 && /opt/worker/bin/pip install --require-hashes --only-binary :all: --no-binary openiap-edge \
      --no-build-isolation -r requirements.txt \
 && python -m venv /opt/sbom \
 && /opt/sbom/bin/pip install --require-hashes --only-binary :all: -r sbom.txt
COPY pyproject.toml README.md LICENSE ./
COPY worker worker
COPY handlers handlers
# What your handlers need besides: a requirements.txt beside them. At the end, what only builds goes.
RUN /opt/worker/bin/pip install --no-deps --no-build-isolation --no-index . \
 && if [ -f handlers/requirements.txt ]; then \
      /opt/worker/bin/pip install --only-binary :all: -r handlers/requirements.txt; \
    fi \
 && /opt/worker/bin/pip check \
 && /opt/worker/bin/pip uninstall --yes hatchling pathspec pluggy trove-classifiers setuptools wheel pip
# The list of what is left in there; the version, which pyproject.toml leaves to the package, is put in.
RUN version=$(/opt/worker/bin/python -c "import worker; print(worker.__version__)") \
 && sed "s/^dynamic = .*/version = \"$version\"/" pyproject.toml >named.toml \
 && /opt/sbom/bin/cyclonedx-py environment --pyproject named.toml --output-reproducible --of JSON \
      -o /opt/worker/sbom.cdx.json /opt/worker/bin/python

FROM ${PYTHON_IMAGE}
# tini is PID 1: it passes signals on, and takes care of what handlers start and leave behind. The
# base's own pip goes, too: nothing is installed into a running worker.
RUN apt-get update \
 && apt-get install -y --no-install-recommends tini=0.19.* \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 worker \
 && useradd --uid 10001 --gid worker --no-create-home --home-dir /app --shell /usr/sbin/nologin worker \
 && install -d -o worker -g worker -m 0700 /var/lib/openiap-worker \
 && pip uninstall --yes pip
COPY --from=build /opt/worker /opt/worker
COPY config/worker.toml /app/config/worker.toml
COPY handlers /app/handlers
# PYTHONDONTWRITEBYTECODE: the root file system may be read-only (give it a tmpfs on /tmp).
ENV PATH=/opt/worker/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPENIAP_WORKER_STATE_DIR=/var/lib/openiap-worker \
    OPENIAP_WORKER_HEALTH_PORT=8080
WORKDIR /app
USER 10001:10001
# Outcomes that OpenIAP does not have yet outlive the container here.
VOLUME /var/lib/openiap-worker
EXPOSE 8080
# Asked from inside, so the listener may stay on loopback. Liveness and not readiness: a worker whose
# OpenIAP is away is healthy and waits.
HEALTHCHECK --interval=30s --timeout=6s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['OPENIAP_WORKER_HEALTH_PORT'] + '/livez', timeout=5)"]
# Stops popping and lets items finish, for drain_timeout + cancel_timeout + 2 s: 30 s by default, and
# Docker kills after 10 s unless it is told to wait (docker stop -t 45, --stop-timeout 45).
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "openiap-worker"]
CMD ["run"]
# Last, so that another commit builds nothing anew.
ARG VERSION=unreleased
ARG REVISION=unknown
ARG SOURCE=unknown
ARG BASE_NAME=unknown
ARG BASE_DIGEST=unknown
LABEL org.opencontainers.image.title="openiap-worker" \
      org.opencontainers.image.description="The work item worker for OpenIAP" \
      org.opencontainers.image.licenses="MPL-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE_NAME}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}"
