# One image for webhooks, page, worker and migrations; `compose.yaml` has the commands. `make install` installs the
# service without the emulator: versions are locked with hashes, and htmx is taken from its wheel. To build from a base
# image that cannot change, give its digest: --build-arg PYTHON=3.12-slim-bookworm@sha256:... (docs/security.md).
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS setup
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /srv/enrich
# Copy only what `make install` reads, so that this layer is rebuilt only when the versions change.
COPY Makefile requirements.txt requirements-htmx.txt ./
# The final image has no pip: nothing is installed at run time.
RUN mkdir -p enrich/static && make install && rm -rf .venv/htmx .venv/lib/python*/site-packages/pip*
COPY pyproject.toml ./
COPY scripts scripts
COPY enrich/__init__.py enrich/
RUN make sbom

FROM python:${PYTHON}
RUN useradd --system --uid 10001 --home-dir /var/lib/enrich --create-home --shell /usr/sbin/nologin enrich
WORKDIR /srv/enrich
COPY --from=setup /srv/enrich/.venv .venv
COPY app.py gunicorn.conf.py pyproject.toml ./
COPY migrations migrations
COPY templates templates
COPY enrich enrich
COPY --from=setup /srv/enrich/enrich/static enrich/static
COPY --from=setup /srv/enrich/sbom.cdx.json /srv/enrich/THIRD-PARTY.txt ./
# Compile now, since the user that runs the image cannot write here.
RUN .venv/bin/python -m compileall -q app.py enrich migrations
ENV PATH=/srv/enrich/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FLASK_SKIP_DOTENV=1 \
    BIND=0.0.0.0:8000 \
    ENRICH_INSTANCE_PATH=/var/lib/enrich
USER 10001
EXPOSE 8000
# Liveness, not readiness: restarting the process does not help when the database is down.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["gunicorn", "app:create_app()"]
