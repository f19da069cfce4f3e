"""TaskRouter's REST API: everything under `/v1`, put together.

Every request below `/v1`, even to a path that does not exist, passes the gate (401/20003, faults); then its view runs
inside one transaction, so that a conditional update is atomic and an answer shows one moment. What is not routed here
is refused: 404/20404, or 405/20004 for a method.
Source: https://www.twilio.com/docs/taskrouter/api
"""

from collections.abc import Mapping

from flask import Blueprint, Response

from taskrouter_emulator.engine.state import State
from taskrouter_emulator.model.errors import ApiError, not_emulated
from taskrouter_emulator.rest import middleware as gate
from taskrouter_emulator.rest.setup_routes import SetupRoutes, WorkersRoutes, WorkspacesRoutes
from taskrouter_emulator.rest.task_routes import EventsRoutes, ReservationsRoutes, TasksRoutes
from taskrouter_emulator.transport.faults import Faults


def rest_api(state: State, faults: Faults, credentials: Mapping[str, str]) -> Blueprint:
    """The blueprint of everything under `/v1`.

    credentials: user name -> password for basic auth; the account's SID and token, and API keys with their secrets.
    """
    api = Blueprint("taskrouter", __name__, url_prefix="/v1/Workspaces")
    api.before_app_request(lambda: gate.enter(faults, credentials))
    api.after_app_request(lambda response: gate.leave(state, faults, response))
    api.app_errorhandler(ApiError)(lambda error: gate.refusal(error.status, error.code, error.message))
    WorkspacesRoutes(state).register(api)
    SetupRoutes(state).register(api)
    WorkersRoutes(state).register(api)
    TasksRoutes(state, faults).register(api)
    ReservationsRoutes(state).register(api)
    EventsRoutes(state).register(api)
    for path in _STATISTICS:
        api.add_url_rule(path, path, _no_statistics, methods=["GET", "POST"], provide_automatic_options=False)
    return api


def _no_statistics(**_sids: str) -> Response:
    raise not_emulated("statistics")


_KINDS = ("Statistics", "RealTimeStatistics", "CumulativeStatistics")
_STATISTICS = [
    f"/<workspace_sid>{below}/{kind}"
    for below in ("", "/TaskQueues", "/TaskQueues/<sid>", "/Workers", "/Workers/<sid>", "/Workflows/<sid>")
    for kind in _KINDS
]
"""Known to Twilio and not to the emulator; without these rules they would be taken for SIDs."""
