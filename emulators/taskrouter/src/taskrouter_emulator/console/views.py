"""The console: a page that shows the account, with buttons that change it.

    GET  /                         the page
    GET  /_emulator/console/now    the part that changes; the page's script requests it every second; 204 if unchanged
    POST /_emulator/console/...    the buttons; the script gets the changed part back, other clients a redirect

The page asks for no credentials, like everything under `/_emulator/`; `transport.request_origin` guards it. It works
without script.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from taskrouter_emulator.callbacks.delivery import Deliveries
from taskrouter_emulator.console.samples import SAMPLES, create_sample_workspace
from taskrouter_emulator.console.snapshot import take_snapshot
from taskrouter_emulator.engine.state import State
from taskrouter_emulator.engine.tasks import find_task_channel
from taskrouter_emulator.model.errors import ApiError, invalid
from taskrouter_emulator.model.records import Reservation, Task, Worker, Workspace
from taskrouter_emulator.transport.faults import FaultKind, Faults
from taskrouter_emulator.transport.request_origin import Guard

MAX_ADVANCE_S = 31 * 86_400
DEFAULT_LATENCY_S = 5.0
FRAGMENT_HEADER = "X-Console-Fragment"
"""The page's script sends this header with its forms, and gets the changed part back instead of a redirect."""

_STATIC = Path(__file__).parent / "static"
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def console(state: State, faults: Faults, deliveries: Deliveries, guards: Iterable[Guard]) -> Blueprint:
    """Return the blueprint of the page."""
    blueprint = Blueprint("console", __name__, template_folder="templates")
    for guard in guards:
        blueprint.before_request(guard)
    blueprint.after_request(_add_headers)
    _Console(state, faults, deliveries).register(blueprint)
    return blueprint


class _Console:
    def __init__(self, state: State, faults: Faults, deliveries: Deliveries) -> None:
        self._state = state
        self._faults = faults
        self._deliveries = deliveries

    def register(self, blueprint: Blueprint) -> None:
        prefix = "/_emulator/console"
        blueprint.get("/")(self.page)
        blueprint.get(f"{prefix}/now")(self.now)
        blueprint.get(f"{prefix}/clock")(self.clock)
        blueprint.get(f"{prefix}/console.css")(style)
        blueprint.get(f"{prefix}/console.js")(script)
        for path, action in (
            ("workspace", self._create_workspace),
            ("tasks", self._create_task),
            ("tasks/<task_sid>", self._act_on_task),
            ("tasks/<task_sid>/reservations/<sid>", self._act_on_reservation),
            ("workers/<sid>", self._move_worker),
            ("clock", self._advance),
            ("faults", self._set_fault),
            ("faults/<fault_id>/clear", self._clear_fault),
        ):
            blueprint.add_url_rule(f"{prefix}/{path}", action.__name__, self._perform(action), methods=["POST"])

    def page(self, notice: str | None = None) -> str:
        """Render the whole page; the part that changes is the fragment that `now` renders."""
        return render_template(
            "console/page.html",
            **self._context(notice),
            base_url=request.host_url.rstrip("/"),
            samples=SAMPLES,
            fault_kinds=[kind.value for kind in FaultKind],
            account_sid=self._state.account_sid,
        )

    def clock(self) -> str:
        return f"{self._state.clock.now():%H:%M:%S}"

    def now(self) -> ResponseReturnValue:
        context = self._context()
        if request.args.get("seen") == context["seen"]:
            return Response(status=204)
        return render_template("console/_now.html", **context)

    def _context(self, notice: str | None = None) -> dict[str, object]:
        snapshot = take_snapshot(
            self._state, self._state.log, self._deliveries.records(), request.values.get("workspace", "")
        )
        active = [fault.as_dict() for fault in self._faults.all()]
        hits = ".".join(f"{fault['id']}-{fault['hits']}" for fault in active)
        return {"view": snapshot, "faults": active, "notice": notice, "seen": f"{snapshot.version}.{hits}"}

    def _perform(self, action: Callable[..., str]) -> Callable[..., ResponseReturnValue]:
        """Return a view that performs the action and shows its notice, or the reason why it was refused."""

        def view(**arguments: str) -> ResponseReturnValue:
            is_refused = True
            try:
                notice, is_refused = action(**arguments), False
            except ApiError as refusal:
                notice = f"Refused: {refusal.message} ({refusal.code})"
            except ValueError as refusal:
                notice = f"Refused: {refusal}"
            if FRAGMENT_HEADER in request.headers:
                return render_template("console/_now.html", **self._context(notice))
            if is_refused:
                return self.page(notice), 400
            return redirect(url_for("console.page", workspace=request.form.get("workspace") or None), 303)

        return view

    # --- Actions: each returns the notice to show -----------------------------------------------------------------

    def _create_workspace(self) -> str:
        workspace = create_sample_workspace(self._state, request.form.get("callback_url", "").strip())
        return f"Workspace {workspace.friendly_name} was created, with two workers."

    def _create_task(self) -> str:
        sample = request.form.get("sample", "")
        channel, attributes = SAMPLES[sample] if sample in SAMPLES else (request.form.get("channel", ""), None)
        text = request.form.get("attributes", "{}") if attributes is None else json.dumps(attributes)
        workspace = self._workspace()
        with self._state.transaction():
            workflow = workspace.workflows.get(request.form.get("workflow", ""))
            task = self._state.tasks.create_task(
                workspace,
                attributes=text,
                workflow=workflow or next(iter(workspace.workflows.values()), None),
                task_channel=find_task_channel(workspace, channel or "default"),
            )
        return f"Task {_short(task.sid)} was created."

    def _act_on_task(self, task_sid: str) -> str:
        act = request.form.get("act", "")
        with self._state.transaction():
            task = self._task(task_sid)
            match act:
                case "cancel":
                    self._state.tasks.update_task(task, assignment_status="canceled", reason="by hand")
                case "wrap":
                    self._state.tasks.update_task(task, assignment_status="wrapping", reason="by hand")
                case "complete":
                    self._state.tasks.update_task(task, assignment_status="completed", reason="by hand")
                case "hang_up":
                    self._state.reservations.hang_up(task)
                case _:
                    raise ValueError(f"unknown action {act!r}")
        return f"Task {_short(task_sid)} is {task.status}."

    def _act_on_reservation(self, task_sid: str, sid: str) -> str:
        act = request.form.get("act", "")
        statuses = {"accept": "accepted", "reject": "rejected", "wrap": "wrapping", "complete": "completed"}
        with self._state.transaction():
            reservation: Reservation | None = self._task(task_sid).reservations.get(sid)
            if reservation is None:
                raise invalid(f"There is no reservation {sid}")
            if act == "time_out":
                self._state.reservations.time_out(reservation)
            elif act in statuses:
                self._state.reservations.update(reservation, statuses[act])
            else:
                raise ValueError(f"unknown action {act!r}")
        return f"Reservation {_short(sid)} is {reservation.status}."

    def _move_worker(self, sid: str) -> str:
        with self._state.transaction():
            workspace = self._workspace()
            worker: Worker | None = workspace.workers.get(sid)
            activity = workspace.activities.get(request.form.get("activity", ""))
            if worker is None or activity is None:
                raise invalid("There is no such worker or activity")
            self._state.reservations.move_worker(worker, workspace, activity)
        return f"{worker.friendly_name} is {activity.friendly_name}."

    def _advance(self) -> str:
        seconds = float(request.form.get("seconds", ""))
        if not 0 <= seconds <= MAX_ADVANCE_S:
            raise ValueError(f"seconds must be a number from 0 to {MAX_ADVANCE_S}")
        self._state.advance(seconds)
        return f"The clock was put forward by {seconds:g} s."

    def _set_fault(self) -> str:
        fields: dict[str, object] = {"kind": request.form.get("kind", "")}
        if fields["kind"] == FaultKind.LATENCY:
            fields["seconds"] = DEFAULT_LATENCY_S  # the fault's own default is no delay
        for name, number in (("seconds", float), ("status", int), ("times", int)):
            if text := request.form.get(name, "").strip():
                fields[name] = number(text)
        if path := request.form.get("path", "").strip():
            fields["path"] = path
        fault = self._faults.set(fields)
        return f"Fault {fault.kind} was set."

    def _clear_fault(self, fault_id: str) -> str:
        return "The fault was cleared." if self._faults.clear(fault_id) else "The fault had ended already."

    def _workspace(self) -> Workspace:
        """Return the workspace that the form names, else the newest. Raises ApiError if there is none."""
        with self._state.transaction():
            workspace = self._state.workspaces.get(request.form.get("workspace", ""))
            workspace = workspace or next(reversed(self._state.workspaces.values()), None)
        if workspace is None:
            raise invalid("There is no workspace yet")
        return workspace

    def _task(self, task_sid: str) -> Task:
        for workspace in self._state.workspaces.values():
            if task_sid in workspace.tasks:
                return workspace.tasks[task_sid]
        raise invalid(f"There is no task {task_sid}")


def style() -> Response:
    """Return the page's stylesheet."""
    return Response((_STATIC / "console.css").read_bytes(), content_type="text/css; charset=utf-8")


def script() -> Response:
    """Return the page's script."""
    return Response((_STATIC / "console.js").read_bytes(), content_type="text/javascript; charset=utf-8")


def _add_headers(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response


def _short(sid: str) -> str:
    return f"{sid[:2]}…{sid[-4:]}"
