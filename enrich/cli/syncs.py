"""Syncs of the declared databases, put together for `flask sources sync` and for the worker."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from enrich import errors
from enrich.customers import lease_owners
from enrich.customers.declared_sources import DeclaredSource, declare
from enrich.customers.projector import adopt_after
from enrich.customers.stream_states import StreamStates
from enrich.customers.stream_writer import StreamWriter
from enrich.customers.streams import Lease
from enrich.flows.sync import Connector, Run, Sync, SyncAdapters
from enrich.flows.worker import Job
from enrich.services import Services, connector_of, declared_databases, synced_source
from enrich.sources.file import SqlDeclaration

# Whether a pass is due, or was asked for, is looked up so often.
LOOK_INTERVAL_S = 2.0

log = logging.getLogger(__name__)


def declare_sources(services: Services, pause: Callable[[], None] = lambda: None) -> None:
    """Store what the sources file declares of customers that are the same, and of the order of sources.

    Customers from before there were sources are adopted first, so that they take part. pause: called between two
    transactions. Raises DatabaseError.
    """
    last: str | None = ""
    while last is not None:
        last = adopt_after(services.database, last, services.adapters.now())
        pause()
    sources = services.sources
    declare(
        services.database,
        [
            DeclaredSource(name, one.kind, one.sharing.kinds, one.sharing.placeholders)
            for name, one in sources.declarations.items()
        ],
        sources.order,
        sources.order_of,
        services.adapters.now,
        pause,
    )


def sync_of(
    services: Services,
    declaration: SqlDeclaration,
    connector: Connector,
    *,
    progress: Callable[[Run], None] = lambda _run: None,
    is_over: Callable[[], bool] = lambda: False,
    pause: Callable[[], None] = lambda: None,
) -> Sync:
    """Return the sync of this database, which is connected to only when it runs."""

    def writer(lease: Lease, accepted: int | None) -> StreamWriter:
        by = f"source {declaration.name}"
        return StreamWriter(services.database, lease, services.adapters.now, by=by, accepted=accepted, pause=pause)

    adapters = SyncAdapters(
        states=StreamStates(services.database),
        connector=connector,
        writer=writer,
        now=services.adapters.now,
        pause=pause,
        owner=lease_owners.own_name(),
        is_over=is_over,
    )
    return Sync(synced_source(services, declaration), adapters, progress)


def _let_others_work() -> None:
    """Wait for a millisecond: a greenlet that only yields is back before the event loop has looked at its sockets."""
    time.sleep(0.001)


class SyncCounts:
    """Counts for the metrics what each page of a run adds. count: called with an outcome and a number."""

    def __init__(self, count: Callable[[str, int], None]) -> None:
        self._count = count
        self._run: Run | None = None
        self._seen: Counter[str] = Counter()

    def __call__(self, run: Run) -> None:
        """Count what is new in this run since the last call."""
        if run is not self._run:
            self._run, self._seen = run, run.earlier.copy()
        for outcome, number in run.counts.items():
            if number > self._seen[outcome]:
                self._count(outcome, number - self._seen[outcome])
        self._seen = run.counts.copy()


def sync_jobs(services: Services, environ: Mapping[str, str], stop: threading.Event) -> Iterator[Job]:
    """Yield the jobs of a worker that keep its customers like the declared sources; none without sources."""
    if not services.sources.declarations:
        return
    is_declared = threading.Event()

    def declare_once() -> None:
        if not is_declared.is_set():
            declare_sources(services, _let_others_work)
            is_declared.set()

    yield Job("declared sources", declare_once, LOOK_INTERVAL_S)
    for name, declaration in declared_databases(services).items():
        run = _syncing(services, declaration, environ, is_declared, stop)
        yield Job(f"sync of {name}", run, LOOK_INTERVAL_S)


def _result(run: Run) -> str:
    if not run.is_complete:
        return "interrupted"
    return "complete" if run.question is None else "held"


def _syncing(
    services: Services,
    declaration: SqlDeclaration,
    environ: Mapping[str, str],
    is_declared: threading.Event,
    stop: threading.Event,
) -> Callable[[], None]:
    sync: Sync | None = None
    count = SyncCounts(partial(services.metrics.sync, declaration.name))

    def run() -> None:
        nonlocal sync
        if not is_declared.is_set():
            return
        try:
            if sync is None:
                connector, is_over = connector_of(declaration, environ), stop.is_set
                sync = sync_of(
                    services, declaration, connector, progress=count, is_over=is_over, pause=_let_others_work
                )
            done = sync.run_due()
        except errors.DatabaseError as exc:
            services.metrics.sync_run(declaration.name, exc.reason)
            raise
        except errors.SourceError as exc:
            services.metrics.sync_run(declaration.name, exc.reason)
            log.warning("a sync failed", extra={"source": declaration.name, "reason": exc.reason, "detail": str(exc)})
            return
        if done is None:
            return
        count(done)
        services.metrics.sync_run(declaration.name, _result(done))
        if not done.is_complete:
            return
        if done.question is not None:
            log.warning(
                "a sync waits for an answer", extra={"source": declaration.name, "detail": done.question.detail}
            )
        if changed := sum(done.counts[outcome] for outcome in ("created", "changed", "removed")):
            log.info("customers were synced", extra={"source": declaration.name, "count": changed})

    return run
