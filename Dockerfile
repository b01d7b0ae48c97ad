# One image for the three programs that compose starts: server, generator and the Locust suite.
# Nothing here needs BuildKit. Another registry, or a digest: --build-arg PYTHON_IMAGE=python@sha256:…
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${PYTHON_IMAGE}

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

# The programs' requirements, with locked versions and hashes; without charts, reports and notebooks.
COPY deploy/requirements.lock /tmp/
RUN pip install --require-hashes --no-deps -r /tmp/requirements.lock && useradd --system --no-create-home fanbench

# The package's metadata has the entry points by which a replica finds its adapters, hence the install;
# the code itself runs from /app, with the page that a replica serves at /.
COPY pyproject.toml LICENSE README.md ./
COPY scripts/build_hook.py scripts/build_hook.py
COPY core core
COPY brokers brokers
COPY server server
COPY generator generator
COPY load load
COPY ui ui
COPY deploy/entrypoint.py deploy/entrypoint.py
RUN pip install --no-deps --no-build-isolation -e .
# Its user may not write here, and without bytecode each start would compile every library, for seconds of CPU.
RUN python -m compileall -q core brokers server generator load deploy

# Identifies the source for metrics and labels, because an image has no repository. `make image` passes both.
ARG FANBENCH_COMMIT=
ARG FANBENCH_VERSION=
ENV FANBENCH_COMMIT=${FANBENCH_COMMIT}
LABEL org.opencontainers.image.title="fanbench" \
      org.opencontainers.image.description="Server, generator and Locust suite of fanbench: which message broker between services and SSE replicas" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${FANBENCH_VERSION}" \
      org.opencontainers.image.revision="${FANBENCH_COMMIT}"

USER fanbench
ENTRYPOINT ["python", "/app/deploy/entrypoint.py"]
CMD ["python", "-m", "server"]
EXPOSE 8000
