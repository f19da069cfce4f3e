"""The control API under `/_emulator/`, for a test or a demo in another process. JSON, without credentials.

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

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound

from taskrouter_emulator.callbacks.delivery import Deliveries
from taskrouter_emulator.engine.state import State
from taskrouter_emulator.transport.faults import Faults
from taskrouter_emulator.transport.request_origin import refuse_other_sites


def control_api(state: State, faults: Faults, deliveries: Deliveries, host: str) -> Blueprint:
    """Return the blueprint of everything under `/_emulator`, but for the console."""
    blueprint = Blueprint("control", __name__, url_prefix="/_emulator")
    blueprint.before_request(refuse_other_sites(host))  # no credentials, hence no pages of other sites

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @blueprint.get("/log")
    def log() -> Response:
        entries = state.log.entries(request.args.get("kind"), after=_after())
        return jsonify(entries=entries, last=state.log.last)

    @blueprint.get("/alerts")
    def alerts() -> Response:
        entries = [entry for entry in state.log.entries(after=_after()) if entry["kind"] in ALERT_KINDS]
        return jsonify(alerts=entries, last=state.log.last)

    @blueprint.get("/deliveries")
    def delivered() -> Response:
        records = deliveries.records(request.args.get("kind"), after=_after())
        return jsonify(deliveries=[record.as_dict() for record in records])

    @blueprint.get("/faults")
    def list_faults() -> Response:
        return jsonify(faults=[fault.as_dict() for fault in faults.all()])

    @blueprint.post("/faults")
    def set_fault() -> tuple[Response, int]:
        try:
            return jsonify(faults.set(_object()).as_dict()), 201
        except ValueError as exc:
            raise BadRequest(str(exc)) from exc

    @blueprint.delete("/faults")
    def clear_faults() -> tuple[str, int]:
        faults.clear()
        return "", 204

    @blueprint.delete("/faults/<fault_id>")
    def clear_fault(fault_id: str) -> tuple[str, int]:
        if not faults.clear(fault_id):
            raise NotFound(f"No fault {fault_id} is in force")
        return "", 204

    @blueprint.get("/clock")
    def clock() -> Response:
        return jsonify(now=state.clock.now().isoformat())

    @blueprint.post("/clock/advance")
    def advance() -> Response:
        seconds = _object().get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_ADVANCE_S:
            raise BadRequest(f"seconds must be a number from 0 to {MAX_ADVANCE_S}")
        state.advance(seconds)
        return jsonify(now=state.clock.now().isoformat())

    @blueprint.post("/calls/hang-up")
    def hang_up() -> Response:
        task_sid = _object().get("task_sid")
        with state.transaction():
            for workspace in state.workspaces.values():
                if isinstance(task_sid, str) and (task := workspace.tasks.get(task_sid)) is not None:
                    state.reservations.hang_up(task)
                    return jsonify(assignment_status=task.status.value)
        raise NotFound(f"There is no task {task_sid}")

    @blueprint.get("/switches")
    def switches() -> Response:
        return jsonify(state.switches.as_dict())

    @blueprint.post("/switches")
    def set_switches() -> Response:
        try:
            state.switches.update(_object())
        except ValueError as exc:
            raise BadRequest(str(exc)) from exc
        return jsonify(state.switches.as_dict())

    return blueprint


ALERT_KINDS = ("alert", "parameters_ignored")
MAX_ADVANCE_S = 31 * 86_400


def _after() -> int:
    return request.args.get("after", 0, type=int)


def _object() -> dict[str, object]:
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object")
    return body
