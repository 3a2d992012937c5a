# One image for web, workers, migrations, the sidecar, the observer and the injecting init container.
FROM docker.io/library/python:3.13-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
RUN python -m venv --without-pip /opt/venv
COPY requirements.lock requirements-image.lock ./
RUN python -m pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: \
      --requirement requirements-image.lock
COPY LICENSE README.md pyproject.toml ./
COPY exporter exporter
COPY app app
# The lock constrains the build backend as well, without its hashes, which pip would ask of /src too.
RUN sed -n 's/ *\\$//; /^[a-z]/p' requirements.lock >constraints.txt \
    && PIP_CONSTRAINT=constraints.txt python -m pip wheel --no-deps --wheel-dir dist . \
    && python -m pip --python /opt/venv/bin/python install --no-deps dist/*.whl

FROM docker.io/library/python:3.13-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ullage" \
      org.opencontainers.image.description="Connection pools, stale connections and session leaks of Flask, SQLAlchemy and RQ applications, on Prometheus" \
      org.opencontainers.image.source="https://github.com/ullage/ullage" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/venv /opt/venv
# The root file system is meant to be read-only, so nothing is to be cached beside the code: pip has compiled it.
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /tmp
# A number, because runAsNonRoot cannot look up a name.
USER 10001:10001
EXPOSE 8000 9145
CMD ["ullage", "--help"]
