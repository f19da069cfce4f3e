"""TaskRouter's REST API: everything under `/v1`.

Every request under `/v1`, even to an unknown path, passes the middleware (401/20003, faults); its view then runs in one
transaction, so that a conditional update is atomic and a response shows one moment. Unknown paths and methods are
refused with 404/20404 and 405/20004. Source: https://www.twilio.com/docs/taskrouter/api
"""

from collections.abc import Mapping

from flask import Blueprint, Response

from taskrouter_emulator.engine.state import State
from taskrouter_emulator.model.errors import ApiError, not_emulated
from taskrouter_emulator.rest import middleware
from taskrouter_emulator.rest.event_streams_routes import SinksRoutes, SubscriptionsRoutes
from taskrouter_emulator.rest.setup_routes import SetupRoutes, WorkersRoutes, WorkspacesRoutes
from taskrouter_emulator.rest.task_routes import EventsRoutes, ReservationsRoutes, TasksRoutes
from taskrouter_emulator.transport.faults import Faults


def rest_api(state: State, faults: Faults, credentials: Mapping[str, str]) -> Blueprint:
    """Return the blueprint of TaskRouter, with the middleware of everything under `/v1`.

    credentials: user name -> password for basic auth: the account's SID and token, and API keys with their secrets.
    """
    api = Blueprint("taskrouter", __name__, url_prefix="/v1/Workspaces")
    api.before_app_request(lambda: middleware.before_request(faults, credentials))
    api.after_app_request(lambda response: middleware.after_request(state, faults, response))
    api.app_errorhandler(ApiError)(lambda refusal: middleware.refuse(refusal.status, refusal.code, refusal.message))
    WorkspacesRoutes(state).register(api)
    SetupRoutes(state).register(api)
    WorkersRoutes(state).register(api)
    TasksRoutes(state, faults).register(api)
    ReservationsRoutes(state).register(api)
    EventsRoutes(state).register(api)
    for path in _STATISTICS:
        api.add_url_rule(path, path, _no_statistics, methods=["GET", "POST"], provide_automatic_options=False)
    return api


def event_streams_api(state: State) -> Blueprint:
    """Return the blueprint of Event Streams, beside TaskRouter's under `/v1`, with the same middleware."""
    api = Blueprint("event_streams", __name__, url_prefix="/v1")
    SinksRoutes(state).register(api)
    SubscriptionsRoutes(state).register(api)
    return api


def _no_statistics(**_sids: str) -> Response:
    raise not_emulated("statistics")


_KINDS = ("Statistics", "RealTimeStatistics", "CumulativeStatistics")
_STATISTICS = [
    f"/<workspace_sid>{below}/{kind}"
    for below in ("", "/TaskQueues", "/TaskQueues/<sid>", "/Workers", "/Workers/<sid>", "/Workflows/<sid>")
    for kind in _KINDS
]
"""Statistics are not emulated; without these rules the last segment would be taken for a SID."""
