"""The README has every switch with its default, every fault with its fields, and every address of the control API."""

from __future__ import annotations

import re
from pathlib import Path

from flask import Flask

from taskrouter_emulator import EmulatorServer
from taskrouter_emulator.control import control_api
from taskrouter_emulator.model.switches import Switches
from taskrouter_emulator.transport.faults import FaultKind

DOCUMENT = (Path(__file__).parents[1] / "README.md").read_text()


def rows(heading: str) -> dict[str, list[str]]:
    """Return the table below a heading: first cell -> the other cells."""
    section = DOCUMENT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:2] == "| "]
    return {first.strip("`"): rest for first, *rest in cells[2:]}


def test_every_switch_is_there_with_its_default() -> None:
    written = {name: default.strip("`") for name, (default, _) in rows("Switches").items()}
    assert written == {name: str(value).lower() for name, value in Switches().as_dict().items()}


def test_every_switch_is_explained_where_it_is_defined() -> None:
    explained = set(re.findall(r"^    (\w+): ", Switches.__doc__ or "", re.MULTILINE))
    assert explained == set(Switches().as_dict())


def test_every_fault_is_there_with_its_fields(emulator: EmulatorServer) -> None:
    common = {"id", "kind", "times", "every", "method", "path", "hits"}
    for kind, (fields, _) in rows("Faults").items():
        has = set(emulator.faults.set({"kind": kind}).as_dict()) - common
        assert {field.strip("` ") for field in fields.split(",") if field} == has
    assert set(rows("Faults")) == set(FaultKind)


def test_every_address_for_driving_is_there(emulator: EmulatorServer) -> None:
    app = Flask(__name__)
    app.register_blueprint(control_api(emulator.state, emulator.faults, emulator.deliveries, guards=()))
    addresses = {rule.rule.partition("<")[0].rstrip("/") for rule in app.url_map.iter_rules()} - {"/static"}
    assert {address for address in addresses if address not in DOCUMENT} == set()
