"""The configuration of gunicorn, which `gunicorn 'app:create_app()'` reads by itself.

The worker is gevent's, so that one clock can interrupt everything that a callback waits for
(`enrich.resilience.timeouts`). Options on gunicorn's command line override these settings.
"""

import gc
import resource
import socket
import sys
from contextlib import suppress
from typing import Any

import gevent
from gunicorn.glogging import Logger

from enrich.resilience.arrival_order import ArrivalOrder, next_turn
from enrich.resilience.connection_balance import PAUSE_S, TAKEN_AFTER_PAUSE, ConnectionCounts
from enrich.resilience.headers_with_body import HeadersWithBody
from enrich.resilience.queue_time import waited_s
from enrich.settings import environment
from enrich.telemetry.log_rate_limit import LogRateLimit

# From `.env`, too, as every other setting.
_environment = environment()
bind = _environment.get("BIND", "127.0.0.1:8000")
worker_class = "gevent"
# A process uses one core; callbacks mostly wait.
workers = int(_environment.get("WEB_CONCURRENCY", "2"))
# Connections that are kept open and idle count, too, and who is not accepted cannot even be turned away.
worker_connections = 4000
backlog = 4096
# While a smaller share of the places is free, each connection is closed after its response. Otherwise those that are
# kept open and idle would hold all places, and who waits in the backlog would never be accepted: with 0, at five times
# the load that was carried, 1,206 of 26,459 on PostgreSQL. A larger share closes more than it has to, each to be opened
# anew by a next request: on SQLite the median answer took 1.8 to 2.0 s with 0.25, and 0.7 to 1.7 s with this.
MIN_FREE_SHARE = 0.05
# Of one turn of the loop. Under load a turn is as long as its requests take, and who is not accepted cannot even be
# answered that there are too many.
MAX_ACCEPTED = 64
# Twilio keeps its connections open; a proxy in front does too.
keepalive = 75
# After so many new objects Python looks for cycles among them, and for forty times as many among those that were left
# over. By itself it does after 700 and 7,000, of which most are in use by requests that wait: under overload that took
# an eighth of a process (0.89 ms a callback on SQLite and 0.76 on PostgreSQL; with 200,000 for the second, 0.80 and
# 0.66). Nobody is answered meanwhile: under look-ups 2.5 to 4 ms each time; with 20,000 for the first, 10 to 17.
YOUNG_OBJECTS, TIMES_LEFT_OVER = 5_000, 40
# A worker that has not turned its loop for this long is stuck for good: the clock ends everything else after 4 s.
timeout = 30
# A response that is not read for so long is given up. The sockets of accepted connections inherit it on Linux.
UNREAD_S = 30
# ENRICH_TRUSTED_PROXIES alone says how many proxies are trusted. By itself gunicorn would take the scheme, and the path
# (SCRIPT_NAME), from every connection from this machine: with a proxy there, from all of its clients.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
# On SIGTERM: longer than any answer takes (4 s), so that nothing in flight is lost, and not much longer: idle
# connections that Twilio or a proxy keeps open hold a worker back until then.
graceful_timeout = 6
# Paths only, nothing personal; our own log has one line for each callback.
accesslog = None
errorlog = "-"
loglevel = _environment.get("GUNICORN_LOG_LEVEL", "info")


# gunicorn's lines about a request that is no HTTP, and about a connection that breaks or is not read.
EVENTS_OF_CLIENTS = ("Invalid request", "Socket error processing request")


class OneFormat(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own lines look as ours do, and tell no more of a request than ours."""

    limit = LogRateLimit()

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log a warning, or one of the few a second of those that every client can cause."""
        if self._admits(msg, kwargs):
            super().warning(msg, *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log an error with its traceback, limited as warnings are."""
        if self._admits(msg, kwargs):
            super().exception(msg, *args, **kwargs)

    def _admits(self, msg: Any, fields: dict[str, Any]) -> bool:
        """Return whether the line is to be written. fields: of the line; gets the number of those left out."""
        event = next((event for event in EVENTS_OF_CLIENTS if str(msg).startswith(event)), None)
        suppressed = self.limit.admit(event) if event else 0
        if suppressed:
            fields["extra"] = {"suppressed": suppressed}
        return suppressed is not None

    def setup(self, cfg: Any) -> None:
        from enrich import errors, settings
        from enrich.telemetry import logging as telemetry_logging

        super().setup(cfg)
        try:
            style = settings.read_settings(settings.environment()).log_format
        except errors.SettingsError:  # `on_starting` says so
            style = "auto"
        for handler in self.error_log.handlers:
            handler.setFormatter(telemetry_logging.formatter(style))


logger_class = OneFormat
# The application is made in each worker, after gevent has patched the standard library.
preload_app = False
# A way to manage it from outside that nothing here needs.
control_socket_disable = True


def pre_fork(server: Any, worker: Any) -> None:
    """Reserve the worker's place among the counts of connections."""
    worker.connections = server.connections
    worker.place = server.connections.reserve()


def post_worker_init(worker: Any) -> None:
    """Have a worker accept its share of connections and begin requests in order, and make it ready for the first."""
    from gunicorn.workers import ggevent

    # Before the first callback, so that its receipt has the database's time. The benchmark's yardsticks have none.
    if services := getattr(worker.wsgi, "extensions", {}).get("enrich"):
        services.clock.start()
    ggevent.StreamServer = _sharing(ggevent.StreamServer, worker)
    worker.handle = _counted(worker.handle, worker)
    worker.served = worker.wsgi
    worker.wsgi = _sending(_in_order(worker.wsgi), worker)
    # What stands now stays. Python would go through all of it again and again, and every callback waits meanwhile.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, TIMES_LEFT_OVER, 10)


def _sharing(server: Any, worker: Any) -> Any:
    """Return the class of gevent's server, which takes the worker's share of the connections and no more.

    Of several workers gunicorn would have each take one a turn of its loop. Under load a turn is as long as its
    requests take, and who is not accepted cannot even be answered that there are too many.
    """

    class Server(server):  # type: ignore[misc]  # gunicorn has no types, so the base is Any
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            worker.places = self.pool
            worker.connections.begin(worker.place)
            self._taken_anyway = 0

        @property
        def max_accept(self) -> int:  # asked once a turn
            return MAX_ACCEPTED

        @max_accept.setter
        def max_accept(self, _given: int) -> None:
            """Leave out gunicorn's own wish, which is one where there are several workers."""

        def do_read(self) -> Any:
            """Accept a connection and return what `handle` gets; None if there is none, or it is left to others."""
            if not worker.connections.has_its_share(worker.place):
                self._taken_anyway = 0
            elif self._taken_anyway:
                self._taken_anyway -= 1
            else:
                self.stop_accepting()
                gevent.spawn_later(PAUSE_S, self._go_on)
                return None
            accepted = super().do_read()
            if accepted:
                worker.connections.opened(worker.place)
            return accepted

        def close(self) -> None:
            worker.connections.end(worker.place)
            super().close()

        def _go_on(self) -> None:
            self._taken_anyway = TAKEN_AFTER_PAUSE
            if self.started:
                self.start_accepting()

    return Server


def _counted(handle: Any, worker: Any) -> Any:
    """Return the handler of a connection, which counts it as closed when it has ended."""

    def serve(*arguments: Any) -> None:
        try:
            handle(*arguments)
        finally:
            worker.connections.closed(worker.place)

    return serve


def _in_order(application: Any) -> Any:
    """Return the application, which begins requests in the order in which they came in."""
    order = ArrivalOrder()

    def serve(environ: Any, start_response: Any) -> Any:
        order.wait(waited_s(environ))  # load shedding asks for the time again: this wait counts, too
        return application(environ, start_response)

    return serve


def _sending(application: Any, worker: Any) -> Any:
    """Return the application, whose responses are sent whole, and some of which close the connection, and say so.

    A refused client has to open a new one for its next try; its body is not read to its end, which gunicorn would do
    without a limit. While few places are left, or the other workers have far fewer connections, every client has to
    open a new one.
    gunicorn drops a `Connection: close` of the application's, hence its own response is told.
    """

    def serve(environ: Any, start_response: Any) -> Any:
        response = start_response.__self__
        response.sock = HeadersWithBody(response.sock)

        def start(status: str, headers: Any, exc_info: Any = None) -> Any:
            places = worker.places
            if (
                status.startswith("4")
                or places.free_count() < MIN_FREE_SHARE * places.size
                or worker.connections.has_too_many(worker.place)
            ):
                response.force_close()
            return start_response(status, headers, exc_info)

        return application(environ, start)

    return serve


def post_request(_worker: Any, _request: Any, _environ: Any, response: Any) -> None:
    """Send what is held back of the response, and let the other clients have a turn.

    A client that sends request after request is read from without a pause: its greenlet would never yield.
    """
    if response:  # None if the request was refused
        with suppress(OSError):  # the client has gone
            response.sock.send_held()
    next_turn()


def worker_exit(_server: Any, worker: Any) -> None:
    """Record what still waits: receipts of shed callbacks, within the rest of the graceful time; then look-ups."""
    served = getattr(worker, "served", None)
    if services := getattr(served, "extensions", {}).get("enrich"):
        services.adapters.journal.finish(worker.cfg.graceful_timeout - 1)
        services.database.close()


def on_starting(server: Any) -> None:
    """Report wrong settings once, before any worker reports them in a traceback; raise the limit of open files.

    The connections above need more than the usual 1,024, and a process may raise that limit by itself.
    """
    from enrich import errors, settings
    from enrich.telemetry import multiprocess

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * worker_connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))

    try:
        settings.read_settings(settings.environment()).require(settings.FOR_SERVING)
    except errors.SettingsError as exc:
        sys.exit(f"settings: {exc}")
    # What the workers count, all of them can tell. Kept at the server, which outlives a reload of this file.
    server.counts = multiprocess.MetricsDirectory()
    server.connections = ConnectionCounts()


def when_ready(server: Any) -> None:
    """Have the kernel close the connections of clients that do not read: nothing here limits how long sending takes."""
    for listener in server.LISTENERS:
        if listener.sock.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S * 1000)


def child_exit(server: Any, worker: Any) -> None:
    """Drop the gauges of a dead worker, and its place among the counts of connections."""
    server.counts.forget(worker.pid)
    server.connections.release(worker.place)


def on_exit(server: Any) -> None:
    if hasattr(server, "counts"):
        server.counts.remove()
