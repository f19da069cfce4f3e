# One image for everything that runs: webhooks, page, worker, migrations. `compose.yaml` says which command is which.
# Set-up is `make install`, the service alone: versions are locked with their hashes, and htmx comes out of its wheel.
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS setup
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /srv/enrich
# Only what set-up reads, so that this layer is made anew when the versions change, and at no other time.
COPY Makefile requirements.txt requirements-htmx.txt ./
# pip is left behind: nobody installs anything into what runs.
RUN mkdir -p enrich/static && make install && rm -rf .venv/htmx .venv/lib/python*/site-packages/pip*

FROM python:${PYTHON}
RUN useradd --system --uid 10001 --home-dir /var/lib/enrich --create-home --shell /usr/sbin/nologin enrich
WORKDIR /srv/enrich
COPY --from=setup /srv/enrich/.venv .venv
COPY app.py gunicorn.conf.py pyproject.toml ./
COPY migrations migrations
COPY templates templates
COPY enrich enrich
COPY --from=setup /srv/enrich/enrich/static enrich/static
# Written now, since the one who runs it may not write here.
RUN .venv/bin/python -m compileall -q app.py enrich migrations
ENV PATH=/srv/enrich/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FLASK_SKIP_DOTENV=1 \
    BIND=0.0.0.0:8000 \
    ENRICH_INSTANCE_PATH=/var/lib/enrich
USER 10001
EXPOSE 8000
# Alive, not ready: who restarts a process because the database is away makes two troubles of one.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["gunicorn", "app:create_app()"]
