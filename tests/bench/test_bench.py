"""The benchmark runs, measures the work it says, and writes down what it printed. No figure is judged here."""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench import attack, floor, load, overload
from bench.attacker import ATTACKS
from bench.deliveries import ASSIGNMENT, Deliveries, assignment_form
from bench.figures import Figure, Line, Load, Measured, added_p99, table, throughput
from bench.floor import make_tables
from bench.loading import Run, memory
from bench.parts import GROWTH, PARTS, Pace
from bench.serving import PUBLIC_URL, TOKEN, site
from bench.upstream import ATTRIBUTES
from enrich.demo.processes import free_port

ROOT = Path(__file__).parents[2]


@pytest.mark.scenario
def test_the_parts_run(tmp_path: Path) -> None:
    """Tiny rounds. A part fails by itself when the journal does not show the work that was measured.

    `p99` differs from `full` only in an upstream that would take longer than these rounds.
    """
    options = ["--only", "full", "warm", "events", "overload", "lookup-api", "followups", "loading"]
    options += ["lookup", "page"]
    options += [
        "--seconds",
        "0.2",
        "--rounds",
        "1",
        "--customers",
        "1500",
        "--client",
        "python",
        "--database",
        "sqlite",
        "--large",
        "2000",
    ]
    files = ["--json", str(tmp_path / "results.json"), "--cache", str(tmp_path / "cache")]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *options, *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "results.json").read_text())["figures"]
    parts = [figure["line"]["part"] for figure in figures]
    assert parts == [
        "full callback",
        "a web process",
        "warm callback",
        "event intake",
        "slowest answer, overload",
        "answers later than 4.0 s",
        "answered, not recorded",
        "p99 of look-ups, 1 in flight",
        "p99 of look-ups, 32 in flight",
        "p99 of look-ups, 64 in flight",
        "follow-ups, 16 in flight",
        "follow-ups, 64 in flight",
        "load, one process",
        "load, two processes",
        "load again, two processes",
        "customers loaded a second",
        "a loading process",
        "a load's turn at writing, p99",
        "a load's turn at writing, longest",
        "p99 of callbacks, added by a load",
        "look-up",
        "first page",
    ]
    assert all(part in done.stdout for part in parts)
    assert all(figure["rounds"] for figure in figures)


@pytest.mark.parametrize(
    ("peaks_mb", "note"),
    [
        pytest.param([[70.0, 40.0], [71.0, 42.0]], "the one that reads: 42 MB", id="both processes seen"),
        pytest.param([[70.0], [71.0, 42.0]], "the one that reads: 42 MB", id="reader seen in one run"),
        pytest.param([[70.0], [71.0]], "", id="reader ended before"),
    ],
)
def test_the_memory_of_a_load_names_the_reader_only_if_it_was_seen(peaks_mb: list[list[float]], note: str) -> None:
    figure = memory(Line("a loading process", "sqlite", ""), [Run(1, 1.0, 1.0, peaks) for peaks in peaks_mb])
    assert (figure.rounds, figure.note) == ((70.0, 71.0), note)


@pytest.mark.scenario
def test_growth_is_measured_at_every_point(tmp_path: Path) -> None:
    with site(tmp_path / "site", "sqlite", None) as here:
        points = [figure.point for figure in PARTS["growth"](here, Pace(1, 0.2, with_wrk=False))]
    expected = [(curve, number) for number in GROWTH for curve in ("callbacks", "p99")]
    expected += [("followups", number) for number in GROWTH]
    assert [(point.curve, point.in_flight) for point in points if point] == expected
    assert all(point.ours > 0 and point.theirs > 0 for point in points if point)


@pytest.mark.scenario
def test_every_attack_is_made_and_measured(tmp_path: Path) -> None:
    with site(tmp_path / "site", "sqlite", None) as here:
        server, database = here.service(here.upstream(0), WEB_CONCURRENCY="1", ENRICH_TRUSTED_PROXIES="1")
        service = attack.Service(server, database, server.url, tmp_path)
        *beside, missing = attack.beside_all(service, 0.1, "sqlite", "1 process")
        database.close()
    assert [figure.line.part for figure in beside] == ["nothing beside", *ATTACKS]
    assert all(figure.raw["requests"] == 2 for figure in beside)
    assert all(figure.raw["connections"] and figure.raw["sent"] for figure in beside[1:])
    assert missing.rounds == (0,)


def test_the_yardstick_of_a_warm_callback_leaves_nothing_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'floor.db'}"
    make_tables(url, 60)
    for name, value in {"DATABASE_URL": url, "PUBLIC_URL": PUBLIC_URL, "TWILIO_AUTH_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)
    size = Deliveries(PUBLIC_URL, ASSIGNMENT, assignment_form(ATTRIBUTES), TOKEN).write(tmp_path / "requests", 1)
    head, _, body = (tmp_path / "requests").read_bytes()[:size].decode().partition("\r\n\r\n")
    signature = head.partition("X-Twilio-Signature: ")[2][:28]
    client = floor.warm().test_client()
    for sent, status in ((signature, 200), ("A" * 28, 403)):
        headers = {"X-Twilio-Signature": sent, "Content-Type": "application/x-www-form-urlencoded"}
        assert client.post(ASSIGNMENT, data=body, headers=headers).status_code == status
    assert floor.store(url).select("SELECT customer_id FROM deliveries", ()) == [("C-1001",)]
    (line,) = capfd.readouterr().err.splitlines()
    assert json.loads(line)["outcome"] == "matched"


def test_every_delivery_is_another_and_equally_long(tmp_path: Path) -> None:
    file = tmp_path / "requests"
    size = Deliveries("https://hooks.example.test", ASSIGNMENT, assignment_form("{}"), "token").write(file, 3)
    assert file.stat().st_size == 3 * size
    requests = [file.read_bytes()[at : at + size] for at in range(0, 3 * size, size)]
    assert all(request.startswith(b"POST /taskrouter/assignment HTTP/1.1\r\n") for request in requests)
    assert len({request.partition(b"X-Twilio-Signature: ")[2][:28] for request in requests}) == 3


def load_of(requests: int, p99_ms: float = 1.0, processor_s: float | None = None) -> Load:
    return Load(requests, 1.0, 1.0, p99_ms, processor_s=processor_s)


def test_each_round_is_compared_with_the_one_beside_it() -> None:
    """The machine was slow in the second round, for both."""
    measured = Measured([load_of(80), load_of(40), load_of(90)], [load_of(100), load_of(50), load_of(100)], 210)
    figure = throughput(Line("a", "sqlite", "b", (0.6, 0.8)), measured)
    assert figure.rounds == (0.8, 0.8, 0.9)
    assert (figure.median, figure.reached, figure.noise) == (0.8, True, 0.5)


def test_a_difference_should_be_small() -> None:
    measured = Measured([load_of(1, p99_ms=280)], [load_of(1, p99_ms=210)], 1)
    figure = added_p99(Line("a", "sqlite", "b", (50,)), measured)
    assert (figure.rounds, figure.reached) == ((70,), False)


def test_the_table_tells_ratios_and_what_was_wanted() -> None:
    told = table([Figure(Line("full callback", "sqlite", "the floor", (0.6, 0.8)), (0.5, 0.75, 0.7), noise=0.2)])
    (line,) = told.splitlines()[2:]
    assert "0.70 x" in line
    assert "0.50 - 0.75" in line
    assert "≥ 0.6, then ≥ 0.8" in line
    assert "not yet" in line
    assert "±10%" in line


@pytest.mark.scenario
def test_wrk_and_our_client_tell_the_same(tmp_path: Path) -> None:
    """Against the yardsticks' upstream, which answers every request of any kind."""
    with site(tmp_path / "site", "sqlite", None) as here:
        url = here.upstream(0.001)  # so that two connections cannot use up the requests, however fast the machine is
        file = tmp_path / "requests"
        size = Deliveries(url, ASSIGNMENT, assignment_form("{}"), "token").write(file, 5_000)
        clients = [False, True] if load.has_wrk() else [False]
        for with_wrk in clients:
            told = load.send(url, file, size, connections=2, seconds=0.3, with_wrk=with_wrk)
            assert told.requests > 0
            assert told.failed == 0
            assert told.p50_ms <= told.p99_ms


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[int]]]:
    """A server that answers each request with these bytes, or closes if there are none; requests by connection."""
    served: list[int] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            connection = len(served)
            served.append(0)
            while line := self.rfile.readline():
                if line == b"\r\n":
                    served[connection] += 1
                    if not answer:
                        return
                    self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", served
        finally:
            server.shutdown()
            thread.join()


def requests_file(folder: Path, number: int) -> tuple[Path, int]:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    (folder / "requests").write_bytes(request * number)
    return folder / "requests", len(request)


def test_a_connection_that_the_server_will_close_is_not_used_again(tmp_path: Path) -> None:
    with answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nOK") as (url, served):
        told, unanswered = overload.send(url, *requests_file(tmp_path, 5), rate=100)
    assert (told["unanswered"], unanswered) == ({}, set())
    assert served == [1] * 5


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(b"", "closed without an answer"), (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "status 503")],
)
def test_what_got_no_answer_is_counted_by_kind(tmp_path: Path, answer: bytes, kind: str) -> None:
    with answering(answer) as (url, _):
        told, unanswered = overload.send(url, *requests_file(tmp_path, 3), rate=100)
    assert (told["unanswered"], unanswered) == ({kind: 3}, {0, 1, 2})


def test_a_refused_connection_is_a_kind_of_its_own(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port(0)}"
    told, unanswered = overload.send(url, *requests_file(tmp_path, 3), rate=100)
    assert (told["unanswered"], unanswered) == ({"connection refused": 3}, {0, 1, 2})


def test_a_connection_that_the_server_closes_is_opened_anew(tmp_path: Path) -> None:
    """The service closes some, so that its processes have about as many each."""

    class Closing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Connection", "close")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    request = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
    file = tmp_path / "requests"
    file.write_bytes(request * 10)
    with ThreadingHTTPServer(("127.0.0.1", 0), Closing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(load.OutOfRequests):  # all ten are answered, over two connections at a time
            load.send(url, file, len(request), connections=2, seconds=30, with_wrk=False)
        server.shutdown()
