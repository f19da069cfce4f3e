"""A stand-in for Event Streams' REST API: sinks, subscriptions and their events, in memory, over HTTP.

Its answers have the form of Twilio's OpenAPI document (twilio/twilio-oai, spec/json/twilio_events_v1.json).
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_EVENTS_OF = re.compile(r"/v1/Subscriptions/(DF[0-9a-f]{32})/SubscribedEvents")


@dataclass
class EventsApi:
    """The state of one account. url: where it listens. refuses: the status of every answer, or 0."""

    url: str = ""
    sinks: list[dict[str, Any]] = field(default_factory=list)
    subscriptions: list[dict[str, Any]] = field(default_factory=list)
    refuses: int = 0

    def types_of(self, destination: str) -> list[str]:
        """Return the types that are subscribed to the sinks with this destination."""
        sids = [one["sid"] for one in self.sinks if one["sink_configuration"]["destination"] == destination]
        return sorted(event["type"] for one in self.subscriptions if one["sink_sid"] in sids for event in one["events"])

    def add_sink(self, destination: str, *types: str, **changes: Any) -> None:
        configuration = {"destination": destination, "method": "POST", "batch_events": True}
        sink = {"sid": _sid("DG"), "sink_type": "webhook", "status": "active", "sink_configuration": configuration}
        self.sinks.append(sink | changes)
        if types:
            self._subscribe({"SinkSid": sink["sid"], "Types": [json.dumps({"type": each}) for each in types]})

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        if found := _EVENTS_OF.fullmatch(path):
            events = next(one["events"] for one in self.subscriptions if one["sid"] == found[1])
            return 200, _page("types", events)
        if path == "/v1/Sinks":
            return 200, _page("sinks", self.sinks)
        if path == "/v1/Subscriptions":
            return 200, _page("subscriptions", self.subscriptions)
        return 404, {}

    def post(self, path: str, form: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if found := _EVENTS_OF.fullmatch(path):
            event = {"type": form["Type"], "schema_version": int(form["SchemaVersion"])}
            next(one for one in self.subscriptions if one["sid"] == found[1])["events"].append(event)
            return 201, event
        if path == "/v1/Sinks":
            configuration = json.loads(form["SinkConfiguration"])
            sink = {"sid": _sid("DG"), "status": "initialized", "sink_configuration": configuration}
            self.sinks.append(sink | {"sink_type": form["SinkType"], "description": form["Description"]})
            return 201, self.sinks[-1]
        if path == "/v1/Subscriptions":
            return 201, self._subscribe(form)
        return 404, {}

    def _subscribe(self, form: dict[str, Any]) -> dict[str, Any]:
        types = form["Types"] if isinstance(form["Types"], list) else [form["Types"]]
        events = [json.loads(each) for each in types]
        self.subscriptions.append({"sid": _sid("DF"), "sink_sid": form["SinkSid"], "events": events})
        return self.subscriptions[-1]


def _sid(prefix: str) -> str:
    return prefix + secrets.token_hex(16)


def _page(key: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: items, "meta": {"key": key, "page": 0, "page_size": 50, "next_page_url": None}}


@contextmanager
def serve_events_api() -> Iterator[EventsApi]:
    """Serve an empty account on loopback."""
    api = EventsApi()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, content: dict[str, Any]) -> None:
            status, content = (api.refuses, {"code": 20403}) if api.refuses else (status, content)
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._answer(*api.get(urlsplit(self.path).path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: each[0] if len(each) == 1 else each for name, each in parse_qs(body).items()}
            self._answer(*api.post(self.path, form))

        def log_message(self, format: str, *args: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield api
        server.shutdown()
        thread.join()
