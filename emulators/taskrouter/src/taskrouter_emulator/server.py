"""The running emulator: state, faults, deliveries and HTTP server of one account, started and stopped together."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple, Self

from flask import Flask
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, RuleFactory

from taskrouter_emulator.callbacks.delivery import Deliveries
from taskrouter_emulator.console.views import console
from taskrouter_emulator.control import control_api
from taskrouter_emulator.engine.state import State
from taskrouter_emulator.model.clock import VirtualClock, utc_now
from taskrouter_emulator.model.log import Log
from taskrouter_emulator.model.switches import Switches
from taskrouter_emulator.rest import middleware
from taskrouter_emulator.rest.routes import event_streams_api, rest_api
from taskrouter_emulator.transport.faults import Faults
from taskrouter_emulator.transport.http_server import HttpServer
from taskrouter_emulator.transport.request_origin import Guard, guards

LOOPBACK = "127.0.0.1"
TICK_S = 0.02
CALLBACK_THREADS = 32


class Credentials(NamedTuple):
    """An account SID and its auth token."""

    account_sid: str
    auth_token: str


EMULATOR_ONLY = Credentials("AC" + "0" * 32, "emulator-only-auth-token")
"""The emulator's default credentials. They have no value at Twilio."""


class _UnsortedJson(DefaultJSONProvider):
    sort_keys = False


class _SharedUrlMap(Map):
    """URL rules that all emulators of a process share: compiling them takes 25 ms for each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        super().__init__()

    def add(self, rulefactory: RuleFactory) -> None:
        with self._lock:
            endpoints = {rule.endpoint for rule in self.iter_rules()}
            for rule in rulefactory.get_rules(self):
                if rule.endpoint not in endpoints:
                    super().add(rule)


@cache
def _url_map() -> _SharedUrlMap:
    return _SharedUrlMap()


class EmulatorServer:
    """A TaskRouter at `base_url`, serving from the moment the constructor returns until `stop`.

    account_sid, auth_token: credentials for REST and the key of signatures; `EMULATOR_ONLY` by default.
    port: 0 takes a free one. clock: returns aware datetimes; None is the time of this machine.
    api_keys: more users for basic auth, SID -> secret. ticking: do what falls due as time passes; without it, only
    `state.process_due` and `state.advance` do. seed: makes SIDs reproducible.
    callback_threads: the number of assignment callbacks, and of event callbacks, that may be in progress at once.
    token: asked for by the page and by everything under `/_emulator/`; None if they are open.
    Raises OSError if the port is taken.
    """

    def __init__(
        self,
        account_sid: str = EMULATOR_ONLY.account_sid,
        auth_token: str = EMULATOR_ONLY.auth_token,
        port: int = 0,
        clock: Callable[[], datetime] | None = None,
        *,
        host: str = LOOPBACK,
        api_keys: Mapping[str, str] | None = None,
        ticking: bool = True,
        seed: str | None = None,
        switches: Switches | None = None,
        callback_threads: int = CALLBACK_THREADS,
        token: str | None = None,
    ) -> None:
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.clock = VirtualClock(clock or utc_now)
        self.log = Log(self.clock.now)
        self.switches = switches or Switches()
        self.state = State(account_sid, self.clock, self.log, self.switches, seed)
        self.faults = Faults(self.log)
        self._stopping = threading.Event()
        self.deliveries = Deliveries(self.state, self.log, auth_token, callback_threads)
        self.state.send_with(self.deliveries.send)
        application = self._application(dict(api_keys or {}) | {account_sid: auth_token}, guards(host, token))
        self._http = HttpServer(host, port, application)
        self._ticker = threading.Thread(target=self._tick, name="emulator-ticker", daemon=True) if ticking else None
        self._http.start()
        if self._ticker is not None:
            self._ticker.start()

    @property
    def base_url(self) -> str:
        """The address for `client.taskrouter.base_url`, without a slash at the end."""
        return f"http://{self._http.server_address[0]!s}:{self._http.port}"

    def stop(self) -> None:
        """Stop everything: abort requests and callbacks, end threads, close sockets. May be called again."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self.faults.stop()
        if self._ticker is not None:
            self._ticker.join()
        self._http.stop()
        self.deliveries.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _tick(self) -> None:
        while not self._stopping.wait(TICK_S):
            self.state.process_due()

    def _application(self, credentials: Mapping[str, str], guards: Sequence[Guard]) -> Flask:
        app = Flask(__name__, static_folder=None)
        app.url_map = _url_map()
        app.json = _UnsortedJson(app)
        app.register_blueprint(rest_api(self.state, self.faults, credentials))
        app.register_blueprint(event_streams_api(self.state))
        app.register_blueprint(control_api(self.state, self.faults, self.deliveries, guards))
        app.register_blueprint(console(self.state, self.faults, self.deliveries, guards))
        app.register_error_handler(HTTPException, middleware.refuse_http)
        return app
