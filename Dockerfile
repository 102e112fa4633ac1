# The image of a Runnel server. By itself it keeps a SQLite database and the artifacts in /data:
#
#   docker build -t runnel:local .
#   docker run -p 127.0.0.1:5000:5000 -v runnel-data:/data runnel:local
#
# Every flag of `runnel server` has an environment variable; docs/deployment.md shows the ways to deploy.

FROM python:3.13-slim-trixie AS build

WORKDIR /build
RUN python -m venv --without-pip /opt/runnel

# The dependencies, in a layer that changes with the lock only. Wheels alone: nothing is ever compiled here.
COPY requirements.lock ./
RUN pip --python /opt/runnel/bin/python install --no-cache-dir --only-binary :all: --require-hashes -r requirements.lock

# What builds the wheel has its hash in the development lock, and stays behind with this stage.
COPY requirements-dev.lock ./
RUN awk '/^[a-z]/ { wanted = /^uv==/ } wanted' requirements-dev.lock > uv.txt \
    && pip install --no-cache-dir --only-binary :all: --require-hashes -r uv.txt

COPY pyproject.toml README.md LICENSE ./
COPY server server
COPY migrations migrations
RUN uv build --wheel --no-cache --build-constraints requirements-dev.lock --require-hashes \
    && pip --python /opt/runnel/bin/python install --no-cache-dir --no-deps --no-index dist/*.whl


FROM python:3.13-slim-trixie

# A fixed number, so that the owner of a mounted folder can be set from outside.
RUN groupadd --gid 10001 runnel \
    && useradd --uid 10001 --gid runnel --home-dir /data --no-create-home --shell /usr/sbin/nologin runnel \
    && install -d -o runnel -g runnel /data

COPY --from=build /opt/runnel /opt/runnel

ENV PATH=/opt/runnel/bin:$PATH \
    MLFLOW_HOST=0.0.0.0 \
    MLFLOW_PORT=5000 \
    MLFLOW_BACKEND_STORE_URI=sqlite:////data/mlflow.db \
    MLFLOW_ARTIFACTS_DESTINATION=/data/mlartifacts

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 5000

# Whether the process answers. Whether its database and its artifact store do is what /ready tells.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['MLFLOW_PORT']), timeout=4); c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]

CMD ["runnel", "server"]
