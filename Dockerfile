# One image for the service and the fine-tuning worker: docs/deployment.md.
#
#   docker build -t stl-snn .                                                                  on the CPU
#   docker build -t stl-snn:cuda --build-arg TORCH_INDEX= --build-arg EXTRAS=training,gpu .    on NVIDIA cards
#
# BASE         a Debian image with Python 3.11 to 3.13 as python3
# TORCH_INDEX  an index for torch besides PyPI, whose own build for Linux includes CUDA
# EXTRAS       extras to install: the worker needs `training`; `gpu` reads a card's energy
# VERSION, REVISION  for the labels
ARG BASE=python:3.11-slim-bookworm

# Dependencies have a layer of their own: it is large, takes minutes to build and seldom changes.
FROM ${BASE} AS dependencies
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=training
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY pyproject.toml constraints.txt ./
RUN python -c "import sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*project['dependencies'], \
*(needed for extra in sys.argv[1].split(',') if extra for needed in project['optional-dependencies'][extra]), \
sep='\n')" "$EXTRAS" > requirements.txt \
    && pip install -c constraints.txt -r requirements.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
    && pip uninstall -y pip
# Remove what only compilers or the libraries' own tests need.
RUN packages=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    && rm -rf "$packages/torch/include" "$packages/torch/test" "$packages/torch/share" \
    && find "$packages/torch/bin" -type f ! -name torch_shm_manager -delete \
    && find "$packages/numpy" "$packages/scipy" "$packages/sklearn" -type d -name tests -prune -exec rm -rf {} + \
    && find "$packages" -name '*.a' -delete

# The compiler of the event engine stays in this stage.
FROM ${BASE} AS project
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY pyproject.toml MANIFEST.in README.md LICENSE ./
COPY contract contract
COPY event_engine event_engine
COPY service service
COPY training training
RUN pip install --no-deps --target /opt/stl-snn .

FROM ${BASE}
# The ids are fixed, so that volumes and secrets can be given to them.
RUN groupadd --gid 10001 snn \
    && useradd --uid 10001 --gid snn --no-create-home --home-dir /tmp --shell /usr/sbin/nologin snn \
    && install -d -o snn -g snn /data /run/torchserve
COPY --from=dependencies /opt/venv /opt/venv
COPY deploy/seed-models /usr/local/bin/
COPY --chown=snn:snn model_store /models
COPY --from=project /opt/stl-snn /opt/stl-snn
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/stl-snn \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SNN_HOST=0.0.0.0 \
    SNN_PORT=8000 \
    SNN_MODEL_STORE=/models \
    SNN_DATA_DIR=/data
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="stl-snn" \
      org.opencontainers.image.description="Spiking neural networks over HTTP: inference and fine-tuning" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
USER 10001:10001
WORKDIR /tmp
# A new volume starts with the image's content: the bundled models.
VOLUME ["/models", "/data"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=8s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['SNN_PORT'] + '/health/ready', timeout=7)"]
# The worker is the same image with the arguments `training worker`.
ENTRYPOINT ["python", "-m"]
CMD ["service"]
