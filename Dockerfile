# Two stages: the first installs what requirements/runtime.txt locks, by hash and from wheels only; the second holds
# Python, that environment, and nothing to build or install with.

FROM python:3.13.7-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv /opt/tocsin
COPY requirements/runtime.txt requirements/runtime.txt
# Packages that this image does without, separated by spaces: docs/scale.md says which can be.
ARG LEAVE_OUT=""
RUN awk -v out=" $LEAVE_OUT " '/^[a-z]/ { split($1, name, "=="); skip = index(out, " " name[1] " ") } !skip' \
    requirements/runtime.txt > requirements/image.txt \
 && /opt/tocsin/bin/python -m pip install --require-hashes --no-deps --only-binary :all: -r requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY incidents incidents
COPY playbooks playbooks
COPY notifier notifier
COPY projections projections
COPY tocsin tocsin
RUN /opt/tocsin/bin/python -m pip install --no-deps --no-build-isolation --no-index . \
 && /opt/tocsin/bin/python -m pip uninstall --yes setuptools pip \
 && /opt/tocsin/bin/python -m compileall -q /opt/tocsin/lib

FROM python:3.13.7-slim-trixie
LABEL org.opencontainers.image.title="Tocsin" \
      org.opencontainers.image.description="Event-sourced incident response and notification" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
ENV PATH=/opt/tocsin/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/tocsin
COPY --from=build /opt/tocsin /opt/tocsin
USER 10001:10001
WORKDIR /var/lib/tocsin
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["tocsin"]
CMD ["serve"]
