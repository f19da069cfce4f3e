"""A resolver that does not answer, under gunicorn as it is shipped: nobody waits for it longer than for anything else.

The resolver itself is the one part that is replaced: the C function that waits, in gevent's pool of threads, for a name
server. Here it waits for a file instead, which the test writes when the name server is to answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from enrich.database import migrations
from enrich.database.engine import Database
from enrich.demo.processes import Processes
from taskrouter_emulator import EmulatorServer
from tests.support.contact_centre import (
    ASSIGNMENT,
    ContactCentre,
    Service,
    forms_of,
    service_environment,
    waiting_tasks,
)
from tests.support.databases import seed_customers
from tests.support.worker import worker_of

SHIPPED = Path(__file__).parents[2] / "gunicorn.conf.py"
# Opening a named pipe to read from it lasts until somebody opens it to write: a wait in C, as getaddrinfo's is.
SILENT = """
exec(compile(open({shipped!r}).read(), "gunicorn.conf.py", "exec"))
import _socket
from tests.support.databases import seed_customers
ask = _socket.getaddrinfo

def getaddrinfo(host, *arguments, **named):
    if host not in ("taskrouter.test", b"taskrouter.test"):
        return ask(host, *arguments, **named)
    open({pipe!r}, "rb").close()
    return ask("127.0.0.1", *arguments, **named)

_socket.getaddrinfo = getaddrinfo
"""


@pytest.mark.parametrize("accept_via", ["callback", "rest"])
def test_a_silent_resolver_keeps_nobody_and_everything_is_done_late(
    tmp_path: Path,
    emulator: EmulatorServer,
    open_centre: Callable[..., ContactCentre],
    make_callback: Callable[..., dict[str, str]],
    accept_via: str,
) -> None:
    """Forty at once, in one process. TaskRouter's five seconds are the clients' time-out."""
    pipe = tmp_path / "name-server"
    os.mkfifo(pipe)
    configuration = tmp_path / "silent.py"
    configuration.write_text(SILENT.format(shipped=str(SHIPPED), pipe=str(pipe)))
    environment = service_environment(
        emulator.base_url.replace("127.0.0.1", "taskrouter.test"),
        f"sqlite:///{tmp_path / 'enrich.db'}",
        WEB_CONCURRENCY="1",
        ENRICH_BUDGET_S="1.0",
        ENRICH_BREAKER_FAILURES="1000000",  # what a breaker does has tests of its own
        ENRICH_ACCEPT_VIA=accept_via,
    )
    database = Database(environment["DATABASE_URL"])
    migrations.upgrade(database)
    seed_customers(database, datetime.now(UTC))
    service = Service(environment["PUBLIC_URL"], database, environment)
    with Processes({}, tmp_path / "logs") as processes:
        processes.start("web", "gunicorn", "-c", str(configuration), "app:create_app()", env=environment)
        processes.wait_for("web", f"{service.url}/readyz", lambda: False)
        centre = open_centre(service)
        tasks = waiting_tasks(centre, 40)
        with ThreadPoolExecutor(40) as pool:
            asking = [pool.submit(service.post, ASSIGNMENT, form) for form in forms_of(centre, tasks, make_callback)]
            fallback = service.post(ASSIGNMENT + "/fallback", make_callback())
            answers = {each.result().text for each in asking}
        assert fallback.json() == {"instruction": "accept"}
        assert answers == {'{"instruction":"accept"}'}
        entries = [entry for entry in service.entries(kind="assignment") if entry.outcome]
        assert {entry.reason for entry in entries} <= {"taskrouter_too_slow"}
        assert {entry.task_sid for entry in service.entries(kind="assignment")} == set(tasks)

        descriptor = os.open(pipe, os.O_WRONLY)  # the name server answers, and gunicorn's threads come back
        try:
            form = forms_of(centre, waiting_tasks(centre, 1), make_callback)[0]
            _until_enriched(service, centre, form)
        finally:
            os.close(descriptor)
    direct = Service(service.url, database, {**environment, "TASKROUTER_BASE_URL": emulator.base_url})
    for minutes in (1, 2, 3, 4, 5):
        with worker_of(direct, later=timedelta(minutes=minutes)) as work:
            work()
    assert all(centre.block(task)["customer_id"] == "C-1001" for task in tasks)
    assert all(centre.log_of(task).count("attributes_written") == 1 for task in tasks)
    database.close()


def _until_enriched(service: Service, centre: ContactCentre, form: dict[str, str]) -> None:
    """The running process enriches again, without a restart."""
    for attempt in range(5):  # the first may still wait for the answer
        service.post(ASSIGNMENT, form | {"ReservationSid": f"WR{attempt:032x}"})
        if centre.block(form["TaskSid"]):
            return
    raise AssertionError("the process does not find TaskRouter again")
