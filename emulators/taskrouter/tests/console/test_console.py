"""The console: its page, its buttons, and its guards; over HTTP, and in a real browser."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import requests
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from requests import Session

from support.browser import needs_chromium
from support.receiver import Receiver
from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator import EMULATOR_ONLY, EmulatorServer
from taskrouter_emulator.console.views import console
from taskrouter_emulator.control import control_api

ROOT = Path(__file__).parents[2]
CONSOLE = "/_emulator/console"


@pytest.fixture
def post(emulator: EmulatorServer, http: Session) -> Any:
    """Press a button as a browser without script does."""
    http.auth = None

    def post(button: str, headers: Any = None, **fields: Any) -> Any:
        given = {"Origin": emulator.base_url} if headers is None else headers
        return http.post(f"{emulator.base_url}{CONSOLE}/{button}", data=fields, headers=given, allow_redirects=False)

    return post


@pytest.fixture
def look(emulator: EmulatorServer, http: Session) -> Any:
    def look(path: str = "/") -> Any:
        http.auth = None
        return http.get(emulator.base_url + path).text

    return look


def task_of(emulator: EmulatorServer, task_sid: str) -> Any:
    return next(one.tasks[task_sid] for one in emulator.state.workspaces.values() if task_sid in one.tasks)


def test_one_look_tells_what_taskrouter_is_doing(driver: WorkspaceDriver, receiver: Receiver, look: Any) -> None:
    driver.callbacks(receiver.answer("/assign", {"instruction": "explode"}))
    driver.worker("dana")
    task_sid = driver.task('{"from":"+14155550100"}')
    driver.settle()
    page = look()
    assert task_sid in page
    assert "reserved" in page
    assert "dana" in page
    assert "Everybody" in page
    assert "explode" in page  # the answer
    assert "55555" in page  # the alert that it raised
    assert "times out in" in page


@pytest.mark.parametrize("sample", ["Call", "Withheld caller", "Web chat", "Message", "Case"])
def test_a_sample_task_arrives(driver: WorkspaceDriver, emulator: EmulatorServer, post: Any, sample: str) -> None:
    assert post("tasks", sample=sample).status_code == 303
    (task,) = next(iter(emulator.state.workspaces.values())).tasks.values()
    assert task.attributes.startswith("{")


def test_a_task_with_attributes_of_ones_own(driver: WorkspaceDriver, emulator: EmulatorServer, post: Any) -> None:
    post("tasks", attributes='{"topic":"x"}', channel="sms")
    (task,) = next(iter(emulator.state.workspaces.values())).tasks.values()
    assert (task.attributes, task.task_channel.unique_name) == ('{"topic":"x"}', "sms")


@pytest.mark.parametrize(
    ("act", "becomes"),
    [("accept", "accepted"), ("reject", "rejected"), ("time_out", "timeout")],
)
def test_buttons_of_a_pending_reservation(
    driver: WorkspaceDriver, emulator: EmulatorServer, post: Any, act: str, becomes: str
) -> None:
    driver.worker("dana")
    task_sid = driver.task()
    reservation = driver.reservation(task_sid)
    assert post(f"tasks/{task_sid}/reservations/{reservation.sid}", act=act).status_code == 303
    assert task_of(emulator, task_sid).reservations[reservation.sid].status == becomes


def test_a_task_from_its_arrival_to_its_end(driver: WorkspaceDriver, emulator: EmulatorServer, post: Any) -> None:
    driver.worker("dana")
    task_sid = driver.task()
    post(f"tasks/{task_sid}/reservations/{driver.reservation(task_sid).sid}", act="accept")
    post(f"tasks/{task_sid}", act="wrap")
    assert driver.status(task_sid) == "wrapping"
    post(f"tasks/{task_sid}", act="complete")
    assert driver.status(task_sid) == "completed"


def test_canceling_hanging_up_and_moving_a_worker(driver: WorkspaceDriver, emulator: EmulatorServer, post: Any) -> None:
    canceled, hung_up = driver.task(), driver.task()
    post(f"tasks/{canceled}", act="cancel")
    post(f"tasks/{hung_up}", act="hang_up")
    assert [driver.status(sid) for sid in (canceled, hung_up)] == ["canceled", "canceled"]
    worker_sid = driver.worker("dana")
    post(f"workers/{worker_sid}", activity=driver.activities["Offline"])
    assert driver.workspace.workers(worker_sid).fetch().activity_name == "Offline"


def test_time_goes_forward(driver: WorkspaceDriver, emulator: EmulatorServer, post: Any) -> None:
    driver.worker("dana")
    task_sid = driver.task()
    post("clock", seconds="121")
    assert driver.reservation(task_sid).reservation_status == "timeout"


def test_a_fault_is_set_and_cleared(driver: WorkspaceDriver, emulator: EmulatorServer, post: Any, look: Any) -> None:
    post("faults", kind="status", status="429", times="2", path="/Tasks")
    (fault,) = emulator.faults.all()
    assert (fault.kind, fault.status, fault.times, fault.path) == ("status", 429, 2, "/Tasks")
    assert "status 429" in look()
    post(f"faults/{fault.id}/clear")
    assert emulator.faults.all() == []
    post("faults", kind="latency", times="")
    assert (emulator.faults.all()[0].seconds, emulator.faults.all()[0].times) == (5.0, None)


def test_a_small_workspace_to_try_it_with(emulator: EmulatorServer, post: Any, look: Any) -> None:
    assert "There is no workspace yet" in look()
    assert post("workspace", callback_url="http://127.0.0.1:1/assign").status_code == 303
    (made,) = emulator.state.workspaces.values()
    (workflow,) = made.workflows.values()
    assert workflow.fallback_assignment_callback_url == "http://127.0.0.1:1/assign/fallback"
    assert {worker.activity.available for worker in made.workers.values()} == {True}


@pytest.mark.parametrize(
    ("path", "fields", "told"),
    [
        ("tasks", {"attributes": "{"}, "Refused"),
        ("tasks", {"channel": "pigeon"}, "There is no task channel pigeon"),
        ("tasks/WT" + "0" * 32, {"act": "cancel"}, "There is no task"),
        ("clock", {"seconds": "soon"}, "Refused"),
        ("clock", {"seconds": "-1"}, "seconds must be"),
        ("clock", {"seconds": "nan"}, "seconds must be"),
        ("faults", {"kind": "gremlin"}, "Refused"),
        ("faults", {"kind": "status", "path": "("}, "Refused"),
        ("workspace", {"callback_url": "javascript:alert(1)"}, "must begin with http"),
    ],
)
def test_what_cannot_be_done_is_said(driver: WorkspaceDriver, post: Any, path: str, fields: Any, told: str) -> None:
    answer = post(path, **fields)
    assert answer.status_code == 400
    assert told in answer.text


def test_a_reservation_that_is_decided_does_not_time_out(driver: WorkspaceDriver, post: Any) -> None:
    driver.worker("dana")
    task_sid = driver.task()
    path = f"tasks/{task_sid}/reservations/{driver.reservation(task_sid).sid}"
    post(path, act="accept")
    assert "is not pending" in post(path, act="time_out").text


def test_nothing_new_is_nothing_sent(
    driver: WorkspaceDriver, emulator: EmulatorServer, http: Session, look: Any
) -> None:
    driver.task()
    match = re.search(r"seen=([\w.-]+)", look())
    assert match is not None
    seen = match[1]
    assert http.get(f"{emulator.base_url}{CONSOLE}/now?seen={seen}").status_code == 204
    driver.task()
    http.auth = None
    assert http.get(f"{emulator.base_url}{CONSOLE}/now?seen={seen}").status_code == 200


def test_what_comes_from_outside_is_text(driver: WorkspaceDriver, receiver: Receiver, look: Any) -> None:
    """Attributes, names and responses are untrusted."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    driver.callbacks(receiver.answer("/assign", evil, kind="text/html"))
    driver.worker(evil[:60])
    driver.task('{"name":"' + evil + '"}')
    driver.settle()
    page = look()
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)" in page


class TestStrangers:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
        ids=lambda headers: " ".join(headers.values()),
    )
    def test_a_form_of_another_site_is_refused(
        self, driver: WorkspaceDriver, emulator: EmulatorServer, http: Session, post: Any, headers: Any
    ) -> None:
        assert post("tasks", headers=headers, sample="Call").status_code == 403
        faults = http.post(f"{emulator.base_url}/_emulator/faults", data='{"kind":"reset"}', headers=headers)
        assert faults.status_code == 403
        assert next(iter(emulator.state.workspaces.values())).tasks == {}
        assert emulator.faults.all() == []

    def test_a_name_that_somebody_else_has_pointed_here_is_refused(self, emulator: EmulatorServer, post: Any) -> None:
        port = emulator.base_url.rpartition(":")[2]
        elsewhere = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
        assert requests.get(emulator.base_url, headers=elsewhere, timeout=5).status_code == 403
        assert post("clock", headers=elsewhere, seconds="5").status_code == 403

    def test_everything_without_credentials_is_guarded(self, emulator: EmulatorServer) -> None:
        app = Flask(__name__, static_folder=None)
        for blueprint in (control_api, console):
            app.register_blueprint(blueprint(emulator.state, emulator.faults, emulator.deliveries, guards=()))
        elsewhere = {"Host": f"evil.example:{emulator.base_url.rpartition(':')[2]}"}
        asked = 0
        for rule in app.url_map.iter_rules():
            path = re.sub("<[^>]*>", "x", rule.rule)
            for method in (rule.methods or set()) - {"OPTIONS"}:
                response = requests.request(method, emulator.base_url + path, headers=elsewhere, timeout=5)
                assert response.status_code == 403, (method, path)
                asked += 1
        assert asked > 20

    @pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
    def test_every_name_of_this_machine_is_good(self, emulator: EmulatorServer, name: str) -> None:
        port = emulator.base_url.rpartition(":")[2]
        assert requests.get(emulator.base_url, headers={"Host": f"{name}:{port}"}, timeout=5).status_code == 200

    def test_programs_need_no_origin(self, driver: WorkspaceDriver, emulator: EmulatorServer, http: Session) -> None:
        assert http.post(f"{emulator.base_url}/_emulator/clock/advance", json={"seconds": 1}).status_code == 200

    def test_a_token_is_asked_for_whatever_the_name(self) -> None:
        with EmulatorServer(token="only ours") as emulator:
            names: tuple[dict[str, str], ...] = ({}, {"Host": "emulator.test"})
            paths = ("/", "/_emulator/console/now", "/_emulator/log", "/_emulator/healthz")
            for url in (emulator.base_url + path for path in paths):
                for auth in (None, ("", "wrong"), ("only ours", "")):
                    refused = requests.get(url, auth=auth, timeout=5)
                    assert refused.status_code == 401, url
                    assert refused.headers["WWW-Authenticate"].startswith("Basic ")
                for headers in names:
                    auth = ("anyone", "only ours")
                    assert requests.get(url, auth=auth, headers=headers, timeout=5).status_code == 200, url
            rest = requests.get(f"{emulator.base_url}/v1/Workspaces", auth=EMULATOR_ONLY, timeout=5)
            assert rest.status_code == 200

    def test_nothing_is_loaded_from_elsewhere(
        self, driver: WorkspaceDriver, http: Session, emulator: EmulatorServer
    ) -> None:
        answer = http.get(emulator.base_url)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert not re.search(r'(src|href)="(https?:)?//', answer.text)
        assert "style=" not in answer.text
        assert not re.search(r"\son\w+=", answer.text)


@pytest.mark.scenario
def test_it_needs_nothing_of_the_service(tmp_path: Path) -> None:
    """The package's folder alone, in an empty place."""
    shutil.copytree(ROOT / "src" / "taskrouter_emulator", tmp_path / "taskrouter_emulator")
    command = [sys.executable, "-m", "taskrouter_emulator", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    running = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        match = re.search(r"http://127\.0\.0\.1:\d+", running.stdout.readline())
        assert match is not None
        url = match[0]
        page = requests.get(url, timeout=10).text
        assert "There is no workspace yet" in page
        assert "Refresh" in page
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=10)
    assert running.returncode == 0


@needs_chromium
class TestInABrowser:
    @pytest.fixture
    def emulator(self) -> Iterator[EmulatorServer]:
        """An emulator whose time passes, as for a user."""
        with EmulatorServer() as running:
            yield running

    @pytest.fixture
    def complaints(self) -> list[str]:
        return []

    @pytest.fixture
    def page(self, chromium: Browser, emulator: EmulatorServer, complaints: list[str]) -> Iterator[Page]:
        context = chromium.new_context(base_url=emulator.base_url, viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: None if request.url.startswith(emulator.base_url) else complaints.append(request.url),
        )
        yield page
        context.close()
        assert complaints == []

    def press(self, page: Page, name: str) -> None:
        page.get_by_role("button", name=name, exact=True).first.click()

    def test_a_task_is_taken_through_its_life(self, page: Page, receiver: Receiver) -> None:
        url = receiver.answer("/assign", {})
        page.goto("/")
        page.get_by_label("Assignment callback URL").fill(url)
        self.press(page, "Create sample workspace")
        expect(page.get_by_role("status")).to_have_text("Workspace Sample was created, with two workers.")
        self.press(page, "Case")
        expect(page.get_by_text("times out in")).to_be_visible()
        expect(page.locator("#callbacks ~ ul").first.get_by_text("assignment", exact=True)).to_be_visible()
        self.press(page, "Time out")
        expect(page.get_by_role("status")).to_contain_text("is timeout")
        self.press(page, "Accept")  # the other worker is asked next
        expect(page.locator(".task .badge.is-accepted")).to_be_visible()
        self.press(page, "Complete")
        expect(page.locator(".task .badge.is-completed").first).to_be_visible()
        assert len(receiver.on("/assign")) == 2

    def test_it_moves_by_itself_and_keeps_what_was_opened(
        self, page: Page, emulator: EmulatorServer, receiver: Receiver
    ) -> None:
        """A task that arrives over REST appears, and an opened callback stays open."""
        page.goto("/")
        page.get_by_label("Assignment callback URL").fill(receiver.answer("/assign", {"instruction": "accept"}))
        self.press(page, "Create sample workspace")
        self.press(page, "Web chat")
        opened = page.locator("#delivery-1")
        opened.locator("summary").click()
        expect(opened.get_by_text("TaskAttributes")).to_be_visible()
        (workspace,) = emulator.state.workspaces.values()
        emulator.state.tasks.create_task(workspace, attributes='{"topic":"over REST"}')
        expect(page.get_by_text("over REST").first).to_be_visible()
        expect(page.locator("#delivery-2")).to_be_visible()
        expect(opened.get_by_text("TaskAttributes")).to_be_visible()

    def test_the_story_goes_on_while_it_is_open(self, page: Page) -> None:
        page.goto("/")
        self.press(page, "Create sample workspace")
        page.get_by_text("Log, newest first").click()
        self.press(page, "Case")
        expect(page.locator("#log").get_by_text("task created")).to_be_visible()

    def test_the_keyboard_stays_where_it_was(self, page: Page) -> None:
        """A countdown redraws the page every second; the focused button keeps the focus."""
        page.goto("/")
        self.press(page, "Create sample workspace")
        self.press(page, "Call")
        left = page.get_by_text("times out in")
        before = left.inner_text()
        button = page.get_by_role("button", name="Reject")
        button.focus()
        expect(left).not_to_have_text(before)
        expect(button).to_be_focused()

    def test_a_refusal_is_said_and_a_fault_is_seen(self, page: Page) -> None:
        page.goto("/")
        self.press(page, "Call")
        expect(page.get_by_role("status")).to_have_text("Refused: There is no workspace yet (20001)")
        self.press(page, "Create sample workspace")
        page.get_by_label("Fault").select_option("status")
        self.press(page, "Set fault")
        expect(page.get_by_label("Faults in force")).to_contain_text("status 503 1 left")
        self.press(page, "Clear")
        expect(page.get_by_label("Faults in force")).to_have_count(0)

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [380, 820, 1440])
    def test_nothing_sticks_out_on_any_screen(
        self, page: Page, emulator: EmulatorServer, width: int, scheme: Literal["light", "dark"]
    ) -> None:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        page.goto("/")
        self.press(page, "Create sample workspace")
        expect(page.get_by_text("dana")).to_be_visible()
        (workspace,) = emulator.state.workspaces.values()
        emulator.state.tasks.create_task(workspace, attributes='{"long":"' + "x" * 3000 + '"}')
        expect(page.locator(".task")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(17, 20, 15)") is (scheme == "dark")

    def test_without_script_the_buttons_work_all_the_same(self, chromium: Browser, emulator: EmulatorServer) -> None:
        context = chromium.new_context(base_url=emulator.base_url, java_script_enabled=False)
        page = context.new_page()
        page.goto("/")
        self.press(page, "Create sample workspace")
        self.press(page, "Call")
        self.press(page, "Accept")
        expect(page.locator(".task .badge.is-accepted")).to_be_visible()
        context.close()
