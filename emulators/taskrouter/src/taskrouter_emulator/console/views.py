"""The emulator's face: one page that tells what TaskRouter is doing, and buttons to have it do something.

    GET  /                        the page
    GET  /_emulator/face/now      what changes of it, asked for every second by htmx; 204 while nothing has
    POST /_emulator/face/...      the buttons; with htmx they answer what `now` would, else they lead back to the page

Whoever reaches the port may use it, as everything under `/_emulator/`; so it listens on loopback, answers only to names
of this machine (a page elsewhere could point its own name here), and takes no form that another site has sent. It
works without script, and without htmx, which is served if the file lies where the service keeps its own.
"""

import ipaddress
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from taskrouter_emulator.callbacks.delivery import Deliveries
from taskrouter_emulator.console import snapshot as face_view
from taskrouter_emulator.console.samples import SAMPLES, small_workspace
from taskrouter_emulator.engine.state import State
from taskrouter_emulator.engine.tasks import channel_named
from taskrouter_emulator.model.errors import ApiError, invalid
from taskrouter_emulator.model.records import Reservation, Task, Worker, Workspace
from taskrouter_emulator.transport.faults import FaultKind, Faults

HERE = Path(__file__).parent
MAX_ADVANCE_S = 31 * 86_400
DEFAULT_LATENCY_S = 5.0
HTMX_LIES_IN = HERE.parents[4] / "enrich" / "static"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def refuse_other_sites(host: str) -> Callable[[], ResponseReturnValue | None]:
    """A guard: no change that a page of another site asks for. Programs send no `Origin`, and pass.

    host: where the server listens; that name is good, beside those of this machine.
    """

    def guard() -> ResponseReturnValue | None:
        if request.method in ("GET", "HEAD"):
            return None
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
        is_ours = origin == f"http://{request.host}" and _is_of_this_machine(request.host, host)
        if site not in (None, "same-origin", "none") or (origin is not None and not is_ours):
            return _refusal("another site has sent this")
        return None

    return guard


def refuse_other_names(host: str) -> Callable[[], ResponseReturnValue | None]:
    """A guard: the page is read only under a name of this machine. A site elsewhere may point its own name here."""

    def guard() -> ResponseReturnValue | None:
        if _is_of_this_machine(request.host, host):
            return None
        return _refusal(f"{request.host} is no name of this machine; start the emulator with --host if it is")

    return guard


def face(state: State, faults: Faults, deliveries: Deliveries, host: str) -> Blueprint:
    """The blueprint of the page."""
    pages = Blueprint("face", __name__, template_folder="templates")
    pages.before_request(refuse_other_names(host))
    pages.before_request(refuse_other_sites(host))
    pages.after_request(_with_headers)
    _Face(state, faults, deliveries).register(pages)
    return pages


class _Face:
    def __init__(self, state: State, faults: Faults, deliveries: Deliveries) -> None:
        self._state = state
        self._faults = faults
        self._deliveries = deliveries

    def register(self, pages: Blueprint) -> None:
        at = "/_emulator/face"
        pages.get("/")(self.page)
        pages.get(f"{at}/now")(self.now)
        pages.get(f"{at}/clock")(self.clock)
        pages.get(f"{at}/face.css")(style)
        pages.get(f"{at}/htmx.js")(script)
        for path, act in (
            ("workspace", self._open_workspace),
            ("tasks", self._create_task),
            ("tasks/<task_sid>", self._act_on_task),
            ("tasks/<task_sid>/reservations/<sid>", self._act_on_reservation),
            ("workers/<sid>", self._move_worker),
            ("clock", self._advance),
            ("faults", self._set_fault),
            ("faults/<fault_id>/clear", self._clear_fault),
        ):
            pages.add_url_rule(f"{at}/{path}", act.__name__, self._done(act), methods=["POST"])

    def page(self, notice: str | None = None) -> str:
        """All of it; what changes is the same fragment that is asked for every second."""
        return render_template(
            "console/page.html",
            **self._seen(notice),
            base_url=request.host_url.rstrip("/"),
            samples=SAMPLES,
            fault_kinds=[kind.value for kind in FaultKind],
            has_htmx=_htmx() is not None,
            account_sid=self._state.account_sid,
        )

    def clock(self) -> str:
        return f"{self._state.clock.now():%H:%M:%S}"

    def now(self) -> ResponseReturnValue:
        seen = self._seen()
        if request.args.get("seen") == seen["seen"]:
            return Response(status=204)
        return render_template("console/_now.html", **seen)

    def _seen(self, notice: str | None = None) -> dict[str, object]:
        view = face_view.view(
            self._state, self._state.log, self._deliveries.records(), request.values.get("workspace", "")
        )
        active = [fault.as_dict() for fault in self._faults.all()]
        hits = ".".join(f"{fault['id']}-{fault['hits']}" for fault in active)
        return {"view": view, "faults": active, "notice": notice, "seen": f"{view.version}.{hits}"}

    def _done(self, act: Callable[..., str]) -> Callable[..., ResponseReturnValue]:
        """Does it, says what came of it, and shows how things stand. A refusal is said, too."""

        def do(**arguments: str) -> ResponseReturnValue:
            is_refused = True
            try:
                notice, is_refused = act(**arguments), False
            except ApiError as refused:
                notice = f"Refused: {refused.message} ({refused.code})"
            except ValueError as refused:
                notice = f"Refused: {refused}"
            if "HX-Request" in request.headers:
                return render_template("console/_now.html", **self._seen(notice))
            if is_refused:
                return self.page(notice), 400
            return redirect(url_for("face.page", workspace=request.form.get("workspace") or None), 303)

        return do

    # --- The buttons: each gives the sentence that says what was done ---------------------------------------------

    def _open_workspace(self) -> str:
        made = small_workspace(self._state, request.form.get("callback_url", "").strip())
        return f"Made {made.friendly_name}, with two workers."

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
                task_channel=channel_named(workspace, channel or "default"),
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
                    raise ValueError(f"there is no act {act!r}")
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
                raise ValueError(f"there is no act {act!r}")
        return f"Reservation {_short(sid)} is {reservation.status}."

    def _move_worker(self, sid: str) -> str:
        with self._state.transaction():
            workspace = self._workspace()
            worker: Worker | None = workspace.workers.get(sid)
            activity = workspace.activities.get(request.form.get("activity", ""))
            if worker is None or activity is None:
                raise invalid("There is no such worker, or no such activity")
            self._state.reservations.move_worker(worker, workspace, activity)
        return f"{worker.friendly_name} is {activity.friendly_name}."

    def _advance(self) -> str:
        seconds = float(request.form.get("seconds", ""))
        if not 0 <= seconds <= MAX_ADVANCE_S:
            raise ValueError(f"seconds must be a number from 0 to {MAX_ADVANCE_S}")
        self._state.advance(seconds)
        return f"The clock went forward by {seconds:g} s."

    def _set_fault(self) -> str:
        fields: dict[str, object] = {"kind": request.form.get("kind", "")}
        if fields["kind"] == FaultKind.LATENCY:
            fields["seconds"] = DEFAULT_LATENCY_S  # else it would be none at all
        for name, number in (("seconds", float), ("status", int), ("times", int)):
            if text := request.form.get(name, "").strip():
                fields[name] = number(text)
        if path := request.form.get("path", "").strip():
            fields["path"] = path
        fault = self._faults.set(fields)
        return f"Fault {fault.kind} is in force."

    def _clear_fault(self, fault_id: str) -> str:
        return "The fault is over." if self._faults.clear(fault_id) else "That fault was over already."

    def _workspace(self) -> Workspace:
        """The one of the form, or the newest. Raises ApiError where there is none."""
        with self._state.transaction():
            chosen = self._state.workspaces.get(request.form.get("workspace", ""))
            newest = chosen or next(reversed(self._state.workspaces.values()), None)
        if newest is None:
            raise invalid("There is no workspace yet")
        return newest

    def _task(self, task_sid: str) -> Task:
        for workspace in self._state.workspaces.values():
            if task_sid in workspace.tasks:
                return workspace.tasks[task_sid]
        raise invalid(f"There is no task {task_sid}")


def style() -> Response:
    """The page's stylesheet."""
    return Response((HERE / "static" / "console.css").read_bytes(), content_type="text/css; charset=utf-8")


def script() -> Response:
    """htmx, where it is installed."""
    file = _htmx()
    if file is None:
        abort(404)
    return Response(file.read_bytes(), content_type="text/javascript; charset=utf-8")


@cache
def _htmx() -> Path | None:
    return next(iter(sorted(HTMX_LIES_IN.glob("htmx-*.min.js"))), None)


def _with_headers(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response


def _is_of_this_machine(asked: str, host: str) -> bool:
    name = asked.rpartition(":")[0] if asked.rpartition(":")[2].isdigit() else asked
    name = name.strip("[]")
    if name in ("localhost", host):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refusal(message: str) -> Response:
    return Response(message + "\n", 403, content_type="text/plain; charset=utf-8")


def _short(sid: str) -> str:
    return f"{sid[:2]}…{sid[-4:]}"
