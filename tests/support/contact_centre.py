"""A contact centre at the emulator, and a running service that it asks."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import requests
from sqlalchemy import select
from twilio.request_validator import RequestValidator

from enrich.database.engine import Database
from enrich.demo.processes import free_port
from enrich.journal.tables import EntryRow, FollowupRow
from taskrouter_emulator import EMULATOR_ONLY, EmulatorServer

ASSIGNMENT = "/taskrouter/assignment"
WAITING_ATTRIBUTES = {"from": "+14155550100"}
TASKROUTER_TIMEOUT_S = 5.0  # TaskRouter's own


@dataclass
class Service:
    """One running service: its address, its database to look into, and how to ask it as TaskRouter does."""

    url: str
    database: Database
    environment: Mapping[str, str]

    def post(self, path: str, form: Mapping[str, str] | bytes, signature: str | None = None) -> requests.Response:
        """A signed request. form: its fields, or the body as it goes over the wire."""
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        if signature is None:
            signature = sign(self.url + path, form) if not isinstance(form, bytes) else ""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
        return requests.post(self.url + path, data=body, headers=headers, timeout=TASKROUTER_TIMEOUT_S)

    def entries(self, **where: str) -> list[Any]:
        """Rows of the journal, oldest first."""
        table = EntryRow.__table__
        conditions = [table.c[name] == value for name, value in where.items()]
        return list(self.database.read(select(table).where(*conditions).order_by(table.c.id)))

    def owed(self, task_sid: str) -> list[Any]:
        """Follow-ups of one task, oldest first."""
        return list(
            self.database.read(
                select(FollowupRow.__table__)
                .join(EntryRow, EntryRow.id == FollowupRow.entry_id)
                .where(EntryRow.task_sid == task_sid)
                .order_by(FollowupRow.id)
            )
        )


def service_environment(taskrouter: str, database_url: str, **settings: str) -> dict[str, str]:
    """Return the environment of a service on a free port. taskrouter: the emulator's address; settings: added."""
    address = f"127.0.0.1:{free_port(0)}"
    return {
        "FLASK_SKIP_DOTENV": "1",
        "SECRET_KEY": "not-a-real-key-for-tests",
        "TWILIO_ACCOUNT_SID": EMULATOR_ONLY.account_sid,
        "TWILIO_AUTH_TOKEN": EMULATOR_ONLY.auth_token,
        "TASKROUTER_BASE_URL": taskrouter,
        "PUBLIC_URL": f"http://{address}",
        "DATABASE_URL": database_url,
        "BIND": address,
        **settings,
    }


def sign(url: str, form: Mapping[str, str]) -> str:
    return str(RequestValidator(EMULATOR_ONLY.auth_token).compute_signature(url, dict(form)))


def sid(prefix: str) -> str:
    return prefix + secrets.token_hex(16)


@dataclass
class ContactCentre:
    """One workspace at the emulator with a worker and a workflow that asks the service."""

    emulator: EmulatorServer
    workspace: Any
    workspace_sid: str
    worker_sid: str

    def task_arrives(self, attributes: Mapping[str, Any] | str, channel: str = "default") -> str:
        """The SID of a new task, offered to the worker at once. attributes: where text, kept to the letter."""
        text = attributes if isinstance(attributes, str) else json.dumps(attributes)
        return str(self.workspace.tasks.create(attributes=text, task_channel=channel).sid)

    def answer(self, task_sid: str, *, after: int = 0) -> Any:
        """Return the service's answer about this task, once it has answered."""
        logged = self.emulator.log.wait_for("assignment_callback_answered", 10, after=after, task_sid=task_sid)
        return json.loads(str(logged["answer"]))

    def attributes(self, task_sid: str) -> str:
        return str(self.workspace.tasks(task_sid).fetch().attributes)

    def block(self, task_sid: str) -> Any:
        return json.loads(self.attributes(task_sid)).get("crm")

    def log_of(self, task_sid: str) -> list[str]:
        """The kinds of everything that happened to this task, in order."""
        return [str(entry["kind"]) for entry in self.emulator.log.entries(task_sid=task_sid)]


def waiting_tasks(centre: ContactCentre, count: int) -> list[str]:
    """Tasks that nobody is offered: the test itself asks about them."""
    unavailable = next(each.sid for each in centre.workspace.activities.list() if not each.available)
    centre.workspace.workers(centre.worker_sid).update(activity_sid=unavailable)
    return [centre.task_arrives(WAITING_ATTRIBUTES) for _ in range(count)]


def forms_of(
    centre: ContactCentre, tasks: list[str], make_callback: Callable[..., dict[str, str]]
) -> list[dict[str, str]]:
    return [
        make_callback(WorkspaceSid=centre.workspace_sid, TaskSid=task, TaskAttributes=json.dumps(WAITING_ATTRIBUTES))
        for task in tasks
    ]
