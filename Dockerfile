# syntax=docker/dockerfile:1
ARG PYTHON=3.13

FROM python:${PYTHON}-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY . .
# The wheel is built and then installed, so that the image holds what users install. The byte code is shipped, as
# starting without it takes several times longer; it is never checked against the sources, which cannot change here.
RUN python -m venv /opt/watchbridge \
 && python -m pip wheel --no-deps --wheel-dir /wheel . \
 && /opt/watchbridge/bin/python -m pip install --no-compile "$(echo /wheel/*.whl)[postgresql,mysql,dns]" \
 && /opt/watchbridge/bin/python -m pip uninstall --yes pip \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/watchbridge \
 && install -d -o 65532 -g 65532 -m 0700 /data

FROM python:${PYTHON}-slim-bookworm
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="Watchbridge" \
      org.opencontainers.image.description="A Prometheus exporter and alert bridge with a durable backlog" \
      org.opencontainers.image.documentation="https://watchbridge.readthedocs.io" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENV PATH="/opt/watchbridge/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=build /opt/watchbridge /opt/watchbridge
# Owned by the user it runs as, so that a fresh volume is writable and private while the root may stay read-only.
COPY --from=build --chown=65532:65532 /data /var/lib/watchbridge
USER 65532:65532
WORKDIR /var/lib/watchbridge
VOLUME ["/var/lib/watchbridge"]
EXPOSE 10900
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:10900/-/healthy', timeout=4).close()"]
ENTRYPOINT ["watchbridge"]
CMD ["serve", "--config", "/etc/watchbridge/watchbridge.yml"]
