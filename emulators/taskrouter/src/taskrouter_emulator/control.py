"""The control API under `/_emulator/`, for a test or a demo in another process.

JSON, without credentials. If the emulator was started with a token, it is the password of basic auth, with any user.

GET    /_emulator/healthz
GET    /_emulator/log?after=N&kind=K          {"entries": [...], "last": N}
GET    /_emulator/alerts?after=N              {"alerts": [...], "last": N}: what Twilio's alert log would show
GET    /_emulator/deliveries?after=N&kind=K   {"deliveries": [...]}
GET    /_emulator/faults                      {"faults": [...]}
POST   /_emulator/faults                      a fault as JSON, see `transport.faults` -> 201 and the fault with its id
DELETE /_emulator/faults[/<id>]               204; requests that the fault holds up are released
GET    /_emulator/clock                       {"now": "..."}
POST   /_emulator/clock/advance               {"seconds": n} -> {"now": "..."}
POST   /_emulator/calls/hang-up               {"task_sid": "WT..."} -> {"assignment_status": "..."}
GET    /_emulator/switches
POST   /_emulator/switches                    {"lax_attributes": true, ...} -> all switches
"""

from collections.abc import Iterable

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound

from taskrouter_emulator.callbacks.delivery import Deliveries
from taskrouter_emulator.engine.state import State
from taskrouter_emulator.transport.faults import Faults
from taskrouter_emulator.transport.request_origin import Guard

ALERT_KINDS = ("alert", "parameters_ignored")
MAX_ADVANCE_S = 31 * 86_400


def control_api(state: State, faults: Faults, deliveries: Deliveries, guards: Iterable[Guard]) -> Blueprint:
    """Return the blueprint of everything under `/_emulator`, but for the console."""
    blueprint = Blueprint("control", __name__, url_prefix="/_emulator")
    for guard in guards:
        blueprint.before_request(guard)
    _ControlApi(state, faults, deliveries).register(blueprint)
    return blueprint


class _ControlApi:
    def __init__(self, state: State, faults: Faults, deliveries: Deliveries) -> None:
        self._state = state
        self._faults = faults
        self._deliveries = deliveries

    def register(self, blueprint: Blueprint) -> None:
        blueprint.get("/healthz")(self.healthz)
        blueprint.get("/log")(self.log)
        blueprint.get("/alerts")(self.alerts)
        blueprint.get("/deliveries")(self.deliveries)
        blueprint.get("/faults")(self.list_faults)
        blueprint.post("/faults")(self.set_fault)
        blueprint.delete("/faults")(self.clear_faults)
        blueprint.delete("/faults/<fault_id>")(self.clear_fault)
        blueprint.get("/clock")(self.clock)
        blueprint.post("/clock/advance")(self.advance)
        blueprint.post("/calls/hang-up")(self.hang_up)
        blueprint.get("/switches")(self.switches)
        blueprint.post("/switches")(self.set_switches)

    def healthz(self) -> Response:
        return jsonify(status="ok")

    def log(self) -> Response:
        entries = self._state.log.entries(request.args.get("kind"), after=_after())
        return jsonify(entries=entries, last=self._state.log.last)

    def alerts(self) -> Response:
        entries = [entry for entry in self._state.log.entries(after=_after()) if entry["kind"] in ALERT_KINDS]
        return jsonify(alerts=entries, last=self._state.log.last)

    def deliveries(self) -> Response:
        records = self._deliveries.records(request.args.get("kind"), after=_after())
        return jsonify(deliveries=[record.as_dict() for record in records])

    def list_faults(self) -> Response:
        return jsonify(faults=[fault.as_dict() for fault in self._faults.all()])

    def set_fault(self) -> tuple[Response, int]:
        try:
            return jsonify(self._faults.set(_object()).as_dict()), 201
        except ValueError as exc:
            raise BadRequest(str(exc)) from exc

    def clear_faults(self) -> tuple[str, int]:
        self._faults.clear()
        return "", 204

    def clear_fault(self, fault_id: str) -> tuple[str, int]:
        if not self._faults.clear(fault_id):
            raise NotFound(f"No fault {fault_id} is in force")
        return "", 204

    def clock(self) -> Response:
        return jsonify(now=self._state.clock.now().isoformat())

    def advance(self) -> Response:
        seconds = _object().get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_ADVANCE_S:
            raise BadRequest(f"seconds must be a number from 0 to {MAX_ADVANCE_S}")
        self._state.advance(seconds)
        return self.clock()

    def hang_up(self) -> Response:
        task_sid = _object().get("task_sid")
        with self._state.transaction():
            for workspace in self._state.workspaces.values():
                if isinstance(task_sid, str) and (task := workspace.tasks.get(task_sid)) is not None:
                    self._state.reservations.hang_up(task)
                    return jsonify(assignment_status=task.status.value)
        raise NotFound(f"There is no task {task_sid}")

    def switches(self) -> Response:
        return jsonify(self._state.switches.as_dict())

    def set_switches(self) -> Response:
        try:
            self._state.switches.update(_object())
        except ValueError as exc:
            raise BadRequest(str(exc)) from exc
        return self.switches()


def _after() -> int:
    return request.args.get("after", 0, type=int)


def _object() -> dict[str, object]:
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object")
    return body
