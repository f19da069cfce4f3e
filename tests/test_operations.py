"""Configuration files for operation, checked without their programs: Docker, Prometheus, Grafana, systemd.

If one of these programs is installed, it checks its file, too.
"""

from __future__ import annotations

import gc
import json
import os
import re
import runpy
import shlex
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.socket
import pytest
import yaml
from flask import Flask
from gevent.pool import Pool
from gunicorn.config import Config
from gunicorn.http.wsgi import Response
from gunicorn.workers import ggevent

from enrich.database.clock import DatabaseClock
from enrich.database.engine import POOL_SIZE
from enrich.domain.lengths import (
    MAX_FORM_BYTES,
    MAX_INTAKE_BYTES,
    MAX_PAGE_REQUEST_BYTES,
    MAX_SIGN_IN_BYTES,
    MAX_STREAM_BYTES,
)
from enrich.resilience.connection_balance import LEAD, ConnectionCounts
from enrich.resilience.headers_with_body import HeadersWithBody
from enrich.settings import TABLE as SETTINGS
from enrich.telemetry.log_rate_limit import LINES_PER_S
from enrich.telemetry.metrics import TABLE

HERE = Path(__file__).parent.parent
OPERATIONS = HERE / "docs" / "operations"
METRICS = {row.name: row for row in TABLE}
# What the image and gunicorn.conf.py read beside the table of settings, and what PostgreSQL's image takes.
POSTGRES_PASSWORDS = {"POSTGRES_PASSWORD", "POSTGRES_OWNER_PASSWORD", "POSTGRES_SERVICE_PASSWORD"}
OTHER_VARIABLES = {"BIND", "WEB_CONCURRENCY", "FLASK_SKIP_DOTENV", "POSTGRES_DB", *POSTGRES_PASSWORDS}

# Prometheus' own tool, of 100 MB, is not a Python package: its tests run where somebody has installed it.
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not installed (Debian: prometheus)"
)


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((HERE / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def rules() -> list[Any]:
    (group,) = yaml.safe_load((OPERATIONS / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


@pytest.fixture(scope="module")
def panels() -> list[Any]:
    return list(json.loads((OPERATIONS / "dashboard.json").read_text())["panels"])


def queries(rules: list[Any], panels: list[Any]) -> list[str]:
    return [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel["targets"]]


def named(query: str) -> set[str]:
    """The metrics of ours in a query, by the names of the table."""
    found = set(re.findall(r"\benrich_[a-z_]+", query))
    return {re.sub(r"_(bucket|sum|count)$", "", name) if name not in METRICS else name for name in found}


def taken_of(number: int, shipped: dict[str, Any], app: Flask, accepting: int) -> list[int]:
    """Return how many connections each of two workers has once all of these, opened at once, are accepted.

    accepting: the number of workers that do; the others are stuck.
    """
    connections, handled, servers, streams = ConnectionCounts(), [0, 0], [], ggevent.StreamServer
    listener = gevent.socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(number)
    with ExitStack() as stack:
        stack.enter_context(listener)
        for place in range(2):

            def handle(*_: object, place: int = place) -> None:
                handled[place] += 1
                gevent.sleep(60)

            ggevent.StreamServer = streams
            worker = SimpleNamespace(wsgi=app, handle=handle, connections=connections, place=connections.reserve())
            shipped["post_worker_init"](worker)
            server = ggevent.StreamServer(listener, handle=worker.handle, spawn=Pool(number))
            server.max_accept = 1  # as gunicorn does where there are several workers
            stack.callback(server.stop, timeout=0)
            servers.append(server)
        for _ in range(number):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        for server in servers[:accepting]:
            server.start()
        with gevent.Timeout(10):
            while sum(handled) < number:
                gevent.sleep(0.001)
    return handled


class TestGunicorn:
    @pytest.fixture
    def worker(self, app: Flask) -> SimpleNamespace:
        """A worker beside no other one."""
        connections = ConnectionCounts()
        return SimpleNamespace(wsgi=app, handle=None, connections=connections, place=connections.reserve())

    @pytest.fixture
    def shipped(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
        monkeypatch.setattr(ggevent, "StreamServer", ggevent.StreamServer)
        threshold = gc.get_threshold()
        yield runpy.run_path(str(HERE / "gunicorn.conf.py"))
        gc.unfreeze()
        gc.set_threshold(*threshold)

    @pytest.fixture
    def connection(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        """The server's end of a connection, and the client's."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            there = socket.create_connection(listening.getsockname(), timeout=10)
            here, _ = listening.accept()
            with there, here:
                yield here, there

    def test_what_a_worker_is_made_of_is_not_looked_through_again(
        self, shipped: dict[str, Any], worker: SimpleNamespace
    ) -> None:
        """131,000 objects, and 65 ms in which nobody is answered."""
        shipped["post_worker_init"](worker)
        assert len(gc.get_objects()) < gc.get_freeze_count() / 100

    def test_a_worker_knows_the_databases_time_before_its_first_callback(
        self, shipped: dict[str, Any], worker: SimpleNamespace, app: Flask
    ) -> None:
        hour = timedelta(hours=1)
        clock = DatabaseClock(lambda: datetime.now(UTC) + hour)
        app.extensions["enrich"] = replace(app.extensions["enrich"], clock=clock)
        shipped["post_worker_init"](worker)
        assert clock.ahead_s() == pytest.approx(-hour.total_seconds(), abs=1)

    def test_two_workers_share_what_a_proxy_opens_at_once(self, shipped: dict[str, Any], app: Flask) -> None:
        assert max(taken_of(40, shipped, app, accepting=2)) <= 20 + LEAD

    def test_a_worker_takes_all_while_the_others_are_stuck(self, shipped: dict[str, Any], app: Flask) -> None:
        """They are counted, and take none."""
        assert taken_of(40, shipped, app, accepting=1) == [40, 0]

    def test_a_response_is_sent_whole_also_if_it_was_begun_twice(
        self, shipped: dict[str, Any], connection: tuple[socket.socket, socket.socket]
    ) -> None:
        """As an application begins an error's response over one that it has not sent."""
        here, there = connection
        config = Config()
        request = SimpleNamespace(method="GET", version=(1, 1), headers=[], trailers=[], should_close=lambda: False)
        response = Response(request, here, config)
        connections = ConnectionCounts()
        worker = SimpleNamespace(places=Pool(10), connections=connections, place=connections.reserve())

        def application(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [("Content-Length", "7")])
            try:
                raise ValueError
            except ValueError:
                start_response("500 Internal Server Error", [("Content-Length", "4")], sys.exc_info())
            return [b"body"]

        for part in shipped["_sending"](application, worker)({}, response.start_response):
            response.write(part)
        sent = there.recv(1_000)
        assert sent.startswith(b"HTTP/1.1 500 ")
        assert sent.endswith(b"\r\n\r\nbody")

    @pytest.mark.parametrize("has_gone", [False, True])
    def test_a_response_without_a_body_is_sent_after_the_request_unless_the_client_has_gone(
        self, shipped: dict[str, Any], connection: tuple[socket.socket, socket.socket], has_gone: bool
    ) -> None:
        here, there = connection
        response = SimpleNamespace(sock=HeadersWithBody(here))
        response.sock.sendall(b"headers")
        if has_gone:
            here.close()
        shipped["post_request"](None, None, {}, response)
        assert there.recv(100) == (b"" if has_gone else b"headers")

    def test_a_request_that_was_refused_has_no_response_to_send(self, shipped: dict[str, Any]) -> None:
        shipped["post_request"](None, None, {}, None)

    def test_what_clients_do_leaves_few_lines(self, shipped: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
        log = shipped["logger_class"](Config())
        log.error_log.propagate = True
        try:
            raise TimeoutError
        except TimeoutError:
            for _ in range(100):
                log.warning("Invalid request from ip=198.51.100.7: Invalid HTTP Header")
                log.exception("Socket error processing request.")
            log.warning("Worker was sent SIGTERM")
            log.exception("Exception in worker process")
        counted = Counter(record.getMessage().split()[0] for record in caplog.records)
        assert counted == {"Invalid": LINES_PER_S, "Socket": LINES_PER_S, "Worker": 1, "Exception": 1}

    def test_a_response_that_is_not_read_is_given_up(self, shipped: dict[str, Any]) -> None:
        """Accepted connections inherit it, so that the kernel closes them."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            shipped["when_ready"](SimpleNamespace(LISTENERS=[SimpleNamespace(sock=listening)]))
            with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
                limit_ms = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert limit_ms == 30_000


class TestDashboardAndAlerts:
    def test_they_name_every_metric_that_there_is_and_no_other(self, rules: list[Any], panels: list[Any]) -> None:
        assert set().union(*map(named, queries(rules, panels))) == set(METRICS)

    def test_they_select_and_group_by_labels_that_there_are(self, rules: list[Any], panels: list[Any]) -> None:
        for query in queries(rules, panels):
            for name, selected in re.findall(r"\b(enrich_[a-z_]+)\{([^}]*)\}", query):
                (row,) = (METRICS[each] for each in named(name))
                assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selected)) <= {*row.labels, "le"}, query
            labels = {label for row in map(METRICS.get, named(query)) if row for label in row.labels} | {"le"}
            for grouped in re.findall(r"by \(([^)]*)\)", query):
                assert {label.strip() for label in grouped.split(",")} <= labels, query

    def test_they_ask_for_buckets_that_there_are(self, rules: list[Any], panels: list[Any]) -> None:
        for query in queries(rules, panels):
            for name, bound in re.findall(r'\b(enrich_[a-z_]+)_bucket\{le="([^"]+)"\}', query):
                assert bound in map(str, METRICS[name].buckets), query

    def test_counters_are_asked_for_their_growth(self, rules: list[Any], panels: list[Any]) -> None:
        for query in queries(rules, panels):
            for name in named(query):
                if METRICS[name].kind == "counter":
                    assert re.search(rf"(rate|increase)\({name}\b", query), query

    def test_what_the_database_tells_is_not_added_up(self, rules: list[Any], panels: list[Any]) -> None:
        """Every replica tells the same number."""
        for query in queries(rules, panels):
            for name in named(query):
                if METRICS[name].kind == "figure":
                    assert re.search(rf"(max|min)( by \(\w+\) )?\s*\({name}\b", query), query

    def test_every_alert_has_its_weight_and_its_paragraph(self, rules: list[Any]) -> None:
        page = (HERE / "docs" / "operations.md").read_text()
        told = set(re.findall(r"\*\*(Enrich\w+)\.\*\*", page))
        assert told == {rule["alert"] for rule in rules}
        for rule in rules:
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert rule["annotations"]["summary"]

    def test_panels_say_what_they_show_and_do_not_overlap(self, panels: list[Any]) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            assert panel["description"].endswith("."), panel["title"]
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken, panel["title"]
            assert at["x"] + at["w"] <= 24
            taken |= cells
        assert len({panel["id"] for panel in panels}) == len(panels)

    @needs_promtool
    def test_prometheus_itself_takes_the_rules(self) -> None:
        checked = subprocess.run(
            ["promtool", "check", "rules", OPERATIONS / "alerts.yml"], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr

    @needs_promtool
    @pytest.mark.parametrize(
        ("behind", "first_full_pass", "is_expected"),
        [("+Inf", 1, False), ("+Inf", 0, True), ("2000", 0, True), ("2000", 1, False), ("100", 0, False)],
    )
    def test_a_source_is_behind_unless_it_is_read_for_the_first_time(
        self, tmp_path: Path, behind: str, first_full_pass: int, is_expected: bool
    ) -> None:
        """A first full pass of a large table takes longer than the alert waits, and nobody has to do anything."""
        figures = {"behind_seconds": behind, "first_full_pass": first_full_pass, "interval_seconds": 60}
        series = [
            {"series": f'enrich_source_{name}{{source="erp"}}', "values": " ".join([str(value)] * 31)}
            for name, value in figures.items()
        ]
        at_the_end = {"expr": 'count(ALERTS{alertname="EnrichSourceBehind",alertstate="firing"}) or vector(0)'}
        expected = {"eval_time": "30m", "exp_samples": [{"labels": "{}", "value": int(is_expected)}]}
        story = {"interval": "1m", "input_series": series, "promql_expr_test": [at_the_end | expected]}
        file = tmp_path / "story.yml"
        file.write_text(yaml.safe_dump({"rule_files": [str(OPERATIONS / "alerts.yml")], "tests": [story]}))
        told = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout + told.stderr


class TestCompose:
    def test_every_variable_is_a_setting(self, compose: Any) -> None:
        known = {setting.name for setting in SETTINGS} | OTHER_VARIABLES
        for name, service in compose["services"].items():
            assert set(service.get("environment", {})) <= known, name

    def test_every_command_is_one_that_there_is(self, compose: Any, app: Flask) -> None:
        commands = [
            service["command"]
            for service in compose["services"].values()
            if service.get("build") and "command" in service
        ]
        assert len(commands) == 2
        for program, *words in commands:
            assert program == "flask"
            assert_is_command(app, words)

    def test_two_replicas_answer_webhooks_and_the_proxy_knows_them(self, compose: Any) -> None:
        services = compose["services"]
        nginx = (OPERATIONS / "nginx.conf").read_text()
        upstreams = dict(re.findall(r"upstream (\w+) \{(.*?)\}", nginx, re.DOTALL))
        servers = {name: re.findall(r"server ([\w-]+):(\d+)", block) for name, block in upstreams.items()}
        assert len(servers["hooks"]) == 2
        assert {host for hosts in servers.values() for host, _ in hosts} < set(services)
        port = re.search(r"BIND=0\.0\.0\.0:(\d+)", (HERE / "Dockerfile").read_text())
        assert port
        assert {number for hosts in servers.values() for _, number in hosts} == {port[1]}
        assert services["proxy"]["ports"] == [f"127.0.0.1:{n}:{n}" for n in re.findall(r"listen (\d+);", nginx)]
        assert "./docs/operations/nginx.conf:/etc/nginx/nginx.conf:ro" in services["proxy"]["volumes"]

    def test_nothing_serves_before_the_migration_is_done(self, compose: Any) -> None:
        for name, service in compose["services"].items():
            if service.get("build") and name != "migrate":
                assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}, name
        assert compose["services"]["migrate"]["restart"] == "no"

    def test_postgresql_takes_the_connections_of_all_processes(self, compose: Any) -> None:
        """Each has a pool, as many of its own for prepared statements, and one for receipts of an overload."""
        served = {name: service for name, service in compose["services"].items() if service.get("build")}
        del served["migrate"]
        (per_web,) = re.findall(r'WEB_CONCURRENCY", "(\d+)"', (HERE / "gunicorn.conf.py").read_text())
        processes = 0
        for service in served.values():
            web = int(service["environment"].get("WEB_CONCURRENCY", per_web)) if "command" not in service else 1
            processes += web * service.get("deploy", {}).get("replicas", 1)
        assert processes == 7
        (setting,) = (word for word in compose["services"]["database"]["command"] if "max_connections" in word)
        assert processes * (2 * POOL_SIZE + 3) < int(setting.partition("max_connections=")[2]) - 10

    def test_no_container_takes_the_whole_machine(self, compose: Any) -> None:
        """A refused request is a log line, and an hour of a flood would be gigabytes of them."""
        for name, service in compose["services"].items():
            assert {"max-size", "max-file"} <= service["logging"]["options"].keys(), name
            assert service["mem_limit"], name
            assert service["pids_limit"], name
        database = compose["services"]["database"]
        (setting,) = (word for word in database["command"] if "max_connections" in word)
        assert database["pids_limit"] > int(setting.partition("max_connections=")[2]) + 50

    def test_no_secret_stands_in_it(self, compose: Any) -> None:
        secret = {setting.name for setting in SETTINGS if setting.secret} | POSTGRES_PASSWORDS
        for service in compose["services"].values():
            for name, value in service.get("environment", {}).items():
                assert name not in secret or re.search(r"\$\{POSTGRES_(\w+_)?PASSWORD:\?", value), name

    def test_each_has_its_own_secrets_only(self, compose: Any) -> None:
        """The service has not the password of the schema's owner, and the owner has not the service's secrets."""
        asked = {
            name: set(re.findall(r"\$\{(POSTGRES_\w+)", str(service))) for name, service in compose["services"].items()
        }
        assert asked.pop("database") == POSTGRES_PASSWORDS
        assert asked.pop("migrate") == {"POSTGRES_OWNER_PASSWORD"}
        assert asked.pop("proxy") == set()
        assert set(map(frozenset, asked.values())) == {frozenset({"POSTGRES_SERVICE_PASSWORD"})}
        files = {name: service.get("env_file") or None for name, service in compose["services"].items()}
        assert files == {**dict.fromkeys(("proxy", "database", "migrate")), **dict.fromkeys(asked, "enrich.env")}

    def test_the_roles_are_made_before_their_passwords_are_set(self, compose: Any) -> None:
        mounted = [volume.split(":") for volume in compose["services"]["database"]["volumes"]]
        scripts = {
            target: source for source, target, *_ in mounted if target.startswith("/docker-entrypoint-initdb.d/")
        }
        assert [scripts[target] for target in sorted(scripts)] == [
            f"./docs/operations/postgresql/{name}.sql" for name in ("roles", "passwords")
        ]
        assert all((HERE / source).is_file() for source in scripts.values())

    def test_each_reaches_only_whom_it_needs(self, compose: Any) -> None:
        services = compose["services"]
        internal = {name for name, network in compose["networks"].items() if (network or {}).get("internal")}
        pairs = {
            frozenset((one, other))
            for one in services
            for other in services
            if one != other and set(services[one]["networks"]) & set(services[other]["networks"]) & internal
        }
        assert not [pair for pair in pairs if pair >= {"proxy", "database"} or pair >= {"proxy", "worker"}]
        for name in ("hooks-1", "hooks-2", "page"):
            assert pairs >= {frozenset(("proxy", name)), frozenset((name, "database"))}
        assert {frozenset((name, "database")) for name in ("worker", "migrate")} <= pairs
        ways_out = {name for name, service in services.items() if set(service["networks"]) - internal}
        assert ways_out == {"proxy", "hooks-1", "hooks-2", "page", "worker"}

    def test_none_may_do_more_than_it_needs(self, compose: Any) -> None:
        for name, service in compose["services"].items():
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert service.get("build") or service["user"] != "root", name

    def test_postgresql_logs_no_parameters(self, compose: Any) -> None:
        words = compose["services"]["database"]["command"]
        for setting in (
            "log_parameter_max_length=0",
            "log_parameter_max_length_on_error=0",
            "log_error_verbosity=terse",
        ):
            assert f"--{setting}" in words

    def test_everything_that_lasts_is_watched(self, compose: Any) -> None:
        """The image's own health check covers what is built from it; a worker answers on the same port."""
        for name, service in compose["services"].items():
            assert service.get("build") or service["healthcheck"]["test"], name
        assert compose["services"]["worker"]["command"][-1].endswith(":8000")

    def test_prometheus_asks_what_there_is(self, compose: Any) -> None:
        (job,) = yaml.safe_load((OPERATIONS / "prometheus.yml").read_text())["scrape_configs"]
        (found,) = job["dns_sd_configs"]
        built = {name for name, service in compose["services"].items() if service.get("build")}
        assert set(found["names"]) == built - {"migrate"}
        assert job["job_name"] == "enrich"  # the alert that a replica is down names it
        assert "credentials_file" in job["authorization"]


class TestDockerfile:
    @pytest.fixture
    def steps(self) -> list[tuple[str, str]]:
        """Instructions and their arguments, continued lines joined."""
        text = re.sub(r"^\s*#.*\n", "", (HERE / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
        return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]

    def test_it_ends_as_somebody_without_rights(self, steps: list[tuple[str, str]]) -> None:
        users = [rest for word, rest in steps if word == "USER"]
        assert users == ["10001"]  # by number, so that an orchestrator can see that it is not root
        assert [word for word, _ in steps].index("USER") > max(n for n, (word, _) in enumerate(steps) if word == "RUN")

    def test_what_is_installed_is_locked_with_hashes(self, steps: list[tuple[str, str]]) -> None:
        runs = " ".join(rest for word, rest in steps if word == "RUN")
        assert "make install" in runs  # the service alone
        assert "pip install" not in runs
        makefile = (HERE / "Makefile").read_text()
        installs = re.findall(r"\$\(PIP\) install ([^\n]*)", makefile)
        assert installs
        # The emulator is installed in place, from this checkout; pip takes no hashes with that.
        assert [install for install in installs if "--only-binary :all: --require-hashes" not in install] == [
            "--no-deps --no-build-isolation -e $(EMULATOR)"
        ]

    def test_what_set_up_reads_is_there(self, steps: list[tuple[str, str]]) -> None:
        """`make install` depends on the files that are copied before it, and on no other."""
        first = next(rest for word, rest in steps if word == "COPY").split()[:-1]
        rule = re.findall(r"(requirements\S*\.txt)", (HERE / "Makefile").read_text().partition("clean:")[2])
        assert set(first) == {"Makefile", *rule} - {
            "requirements-test.txt",
            "requirements-build.txt",
            "requirements-mutants.txt",
        }

    def test_the_image_holds_the_bill_of_materials_and_the_licences(self, steps: list[tuple[str, str]]) -> None:
        made = steps.index(("RUN", "make sbom"))
        there = {path for word, rest in steps[:made] if word == "COPY" for path in rest.split()[:-1]}
        rule = (HERE / "Makefile").read_text().partition("\n$(SBOM): ")[2].partition(" |")[0]
        for path in re.findall(r"[\w./]+\.\w+", rule):
            assert {path, path.partition("/")[0]} & there, path
        assert ("COPY", "--from=setup /srv/enrich/sbom.cdx.json /srv/enrich/THIRD-PARTY.txt ./") in steps[made:]

    def test_its_health_check_asks_for_life_not_readiness(self, steps: list[tuple[str, str]], app: Flask) -> None:
        check = next(rest for word, rest in steps if word == "HEALTHCHECK")
        (path,) = re.findall(r"127\.0\.0\.1:8000(/\w+)", check)
        assert path == "/healthz"
        assert path in {rule.rule for rule in app.url_map.iter_rules()}
        compile(json.loads(check[check.index("[") :])[2], "healthcheck", "exec")

    def test_it_starts_what_the_readme_says(self, steps: list[tuple[str, str]]) -> None:
        assert json.loads(next(rest for word, rest in steps if word == "CMD")) == ["gunicorn", "app:create_app()"]

    def test_no_variable_is_a_secret(self, steps: list[tuple[str, str]]) -> None:
        names = set(re.findall(r"(\w+)=", " ".join(rest for word, rest in steps if word == "ENV")))
        assert not names & {setting.name for setting in SETTINGS if setting.secret}


class TestSystemd:
    @pytest.mark.parametrize("unit", sorted((OPERATIONS / "systemd").glob("*.service")), ids=lambda path: path.name)
    def test_every_command_is_one_that_there_is(self, unit: Path, app: Flask) -> None:
        for line in re.findall(r"^Exec\w+=(/opt/enrich\S*) (.*)$", unit.read_text(), re.MULTILINE):
            program, arguments = line[0], shlex.split(line[1].replace("()", "\\(\\)"))
            assert program.startswith("/opt/enrich/.venv/bin/")
            if program.endswith("/flask"):
                assert_is_command(app, arguments)
            else:
                assert (program.rpartition("/")[2], arguments) == ("gunicorn", ["app:create_app()"])

    def test_all_may_do_equally_little(self) -> None:
        hardened = {
            unit.read_text().partition("# One name for")[2].partition("[Install]")[0].strip()
            for unit in (OPERATIONS / "systemd").glob("*.service")
        }
        (block,) = hardened
        assert {"NoNewPrivileges=yes", "MemoryMax=1G", "TasksMax=256"} <= set(block.splitlines())

    def test_only_the_migration_reads_the_owners_url(self) -> None:
        units = {unit.name: unit.read_text() for unit in (OPERATIONS / "systemd").glob("*.service")}
        assert [name for name, text in units.items() if "=-/etc/enrich/migrate.env" in text] == [
            "enrich-migrate.service"
        ]
        assert "\nRequires=enrich-migrate.service\n" in units["enrich-web.service"]

    @pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
    def test_systemd_itself_takes_the_units(self, tmp_path: Path) -> None:
        for unit in (OPERATIONS / "systemd").glob("*.service"):
            text = re.sub(r"/opt/enrich/\.venv/bin/\w+", shutil.which("true") or "", unit.read_text())
            text = text.replace("/opt/enrich", "/")
            (tmp_path / unit.name.replace("@.", "@1.")).write_text(text)
        units = sorted(tmp_path.glob("*.service"))
        checked = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


class TestFallback:
    @pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
    @pytest.mark.parametrize(
        "attributes",
        [
            '{"from":"+14155550100"}',
            '{"call_sid":"CA1"}',
            '{"flexInteractionSid":"KD1"}',
            '{"call_sid":""}',
            "",
            "{",
            '{"call_sid":"CA1"',
            "null",
            "[]",
            '"call_sid"',
            "7",
        ],
    )
    def test_it_answers_what_the_service_answers_by_default(self, attributes: str) -> None:
        from enrich.taskrouter import attributes as read
        from enrich.taskrouter import instructions

        code = (
            f"require({json.dumps(str(OPERATIONS / 'fallback.protected.js'))})"
            ".handler({}, {TaskAttributes: process.argv[1]}, (error, answer) => console.log(JSON.stringify(answer)))"
        )
        answered = subprocess.run(["node", "-e", code, attributes], capture_output=True, text=True, check=True)
        ours = instructions.default_instruction("auto", read.parse_or_none(attributes), attributes)
        assert json.loads(answered.stdout) == json.loads(instructions.to_json(ours))


@pytest.mark.parametrize("name", ["operations.md", "security.md"])
def test_every_setting_and_command_that_the_page_names_is_one(app: Flask, name: str) -> None:
    page = (HERE / "docs" / name).read_text()
    known = {setting.name for setting in SETTINGS} | OTHER_VARIABLES
    named = set(re.findall(r"`((?:ENRICH|TWILIO|TASKROUTER|METRICS|PUBLIC|DATABASE|SECRET)_[A-Z_]+)", page))
    assert named <= known
    for words in re.findall(r"`flask ([^`]+)`", page):
        assert_is_command(app, words.split())


def assert_is_command(app: Flask, words: list[str]) -> None:
    """The words lead to a command, and every option among them is one of its."""
    command: Any = app.cli
    for word in words:
        if word.startswith("--"):
            assert word in {option for param in command.params for option in param.opts}, words
        elif hasattr(command, "commands"):
            assert word in command.commands, words
            command = command.commands[word]


def test_gunicorn_reads_its_address_and_processes_from_the_dotenv_file(tmp_path: Path) -> None:
    """As all other settings; the file stands beside the package in a checkout."""
    shutil.copytree(HERE / "enrich", tmp_path / "enrich", ignore=shutil.ignore_patterns("__pycache__", "static"))
    for name in ("gunicorn.conf.py", "pyproject.toml"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "app.py").write_text("def unused(environ, start_response): ...\n")
    (tmp_path / ".env").write_text("BIND=127.0.0.1:8765\nWEB_CONCURRENCY=7\n")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    config = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--print-config", "app:unused"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.search(r"^bind += \['127\.0\.0\.1:8765'\]$", config, re.MULTILINE), config
    assert re.search(r"^workers += 7$", config, re.MULTILINE), config


def test_the_proxys_limits_are_the_services() -> None:
    nginx = (OPERATIONS / "nginx.conf").read_text()
    written = re.findall(r"location (?:= )?(\S+) \{[^}]*?client_max_body_size (\d+)([km]);", nginx)
    limits = {path: int(number) * (1024 if unit == "k" else 1_000_000) for path, number, unit in written}
    assert limits == {
        "/taskrouter/": MAX_FORM_BYTES,
        "/taskrouter/event-streams": MAX_STREAM_BYTES,
        "/api/v1/sources/": MAX_INTAKE_BYTES,
        "/login": MAX_SIGN_IN_BYTES,
    }
    assert f"client_max_body_size {MAX_PAGE_REQUEST_BYTES // 1_000_000}m;" in nginx
