"""The parts of a running service, in the test's own process: its adapters and its worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask

from app import create_app
from enrich.services import Services, flows_of
from enrich.settings import read_settings
from enrich.taskrouter.client import TaskRouterClient
from tests.support.contact_centre import Service


@contextmanager
def app_of(service: Service, **settings: str) -> Iterator[Flask]:
    """An application with the service's settings, but for these."""
    app: Flask = create_app(read_settings({**service.environment, **settings}))
    services: Services = app.extensions["enrich"]
    try:
        yield app
    finally:  # what one test leaves open is told as the next one's failure
        services.adapters.taskrouter.close()
        services.database.close()


@contextmanager
def services_of(service: Service) -> Iterator[Services]:
    """The services of the service, in this process."""
    with app_of(service) as app:
        yield app.extensions["enrich"]


@contextmanager
def worker_of(
    service: Service,
    later: timedelta = timedelta(),
    *,
    after: datetime | None = None,
    client: Callable[[TaskRouterClient], Any] = lambda client: client,
) -> Iterator[Callable[[], int]]:
    """A worker on the service's database, as if it were that much later: works until nothing is due, returns how much.

    after: where given, it is that much later than this moment for as long as the worker works; what others left behind
    is due first, because a service is shared by tests, and takes its time. client: wraps the worker's own client of
    TaskRouter.
    """
    with services_of(service) as services:
        adapters = replace(
            services.adapters,
            now=lambda: (after or datetime.now(UTC)) + later,
            taskrouter=client(services.adapters.taskrouter),
        )
        dispatcher = flows_of(adapters, services.rules)["dispatcher"]

        def work() -> int:
            tried = 0
            while in_this_batch := dispatcher.run_batch():
                tried += in_this_batch
            return tried

        yield work
