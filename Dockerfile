# syntax=docker/dockerfile:1
FROM python:3.13.9-slim-trixie AS build
COPY requirements.lock /src/
RUN python -m venv /opt/keylane \
 && /opt/keylane/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r /src/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY engine /src/engine
COPY billing /src/billing
# What built it stays behind; pip too, since an image is never changed but replaced.
RUN /opt/keylane/bin/pip install --no-cache-dir --no-deps --no-index --no-build-isolation /src \
 && /opt/keylane/bin/pip uninstall --yes hatchling trove-classifiers tomlkit pip

FROM python:3.13.9-slim-trixie
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin keylane
COPY --from=build /opt/keylane /opt/keylane
ENV PATH=/opt/keylane/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["billing"]
CMD ["api"]
