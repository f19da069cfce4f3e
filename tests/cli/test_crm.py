"""The `flask crm` commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from tests.support.app import run_command as run


def test_seeding_twice_changes_nothing_the_second_time(app: Flask) -> None:
    assert run(app, "crm", "seed") == (0, "builtin.json: 14 new, 0 changed, 0 unchanged\n")
    assert run(app, "crm", "seed") == (0, "builtin.json: 0 new, 0 changed, 14 unchanged\n")


def test_a_bad_row_is_told_and_the_others_load(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    file.write_text('{"id":"C-1","name":"A","phones":["+14155550101"]}\n{"id":"C-2"}\n{"id":"C-3","name":"B"}\n')
    status, output = run(app, "crm", "seed", str(file))
    assert status == 1
    assert "line 2" in output
    assert "name" in output
    assert "2 new" in output
    assert "1 not loaded" in output


def test_what_is_exported_is_what_was_seeded(app: Flask, tmp_path: Path) -> None:
    run(app, "crm", "seed")
    file = tmp_path / "all.jsonl"
    assert run(app, "crm", "export", str(file))[0] == 0
    assert run(app, "crm", "seed", str(file)) == (0, "all.jsonl: 0 new, 0 changed, 14 unchanged\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("+1 415 555 0100",), '"customer_id": "C-1001"'),
        (("whatsapp:+447700900123",), '"customer_id": "C-1005"'),
        (("ada@example.com",), '"customer_id": "C-1001"'),
        (("A-17",), '"customer_id": "C-1001"'),
        (("A-17", "--kind", "account_number"), '"customer_id": "C-1001"'),
        (("C-1003",), '"customer_id": "C-1003"'),
        (("+16175550142",), '"match": "ambiguous"'),
        (("anonymous",), "number withheld"),
        (("--attributes", '{"from":"gbm:a1b2c3"}'), "from: form not known"),
        (("--attributes", '{"from":"gbm:a1b2c3"}'), '"reason": "unknown_form"'),
        (("--attributes", '{"channelType":"web","email":"ada@example.com"}'), '"match": "claimed"'),
    ],
)
def test_lookup_explains_what_would_match(app: Flask, arguments: tuple[str, ...], expected: str) -> None:
    run(app, "crm", "seed")
    status, output = run(app, "crm", "lookup", *arguments)
    assert status == 0, output
    assert expected in output


def test_a_wrong_value_is_told_and_the_rest_of_the_row_loaded(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_text("id,name,phones,emails\nC-1,Ada,12,ada@example.com\n")
    status, output = run(app, "crm", "seed", str(file))
    assert status == 1
    assert "some.csv: line 2, C-1: phones[0]: not a possible phone number" in output
    assert "some.csv: 1 new, 0 changed, 0 unchanged, 1 without some of their values\n" in output


def test_columns_and_encoding_can_be_named(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_bytes("Nr;Imię;Telefon\nC-1;Łukasz;+1 415 555 0100\n".encode("cp1250"))
    options = ["--encoding", "cp1250", "--map", "Nr=id", "--map", "Imię=name", "--map", "Telefon=phones"]
    assert run(app, "crm", "seed", *options, str(file)) == (0, "some.csv: 1 new, 0 changed, 0 unchanged\n")
    assert "Łukasz" in run(app, "crm", "export")[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [(("--map", "Nr"), "--map: 'Nr': write it as 'Column=field'"), (("--encoding", "klingon"), "unknown encoding")],
)
def test_a_wrong_option_is_told(app: Flask, options: tuple[str, ...], message: str) -> None:
    status, output = run(app, "crm", "seed", *options)
    assert status == 2
    assert message in output


def test_an_export_is_said_to_be_one(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "hubspot.csv"
    file.write_text("Record ID,First Name,Last Name,Email,Create Date\n1,Ada,Example,ada@example.com,2026-01-02\n")
    status, output = run(app, "crm", "seed", str(file))
    assert status == 0
    assert "hubspot.csv: HubSpot export: read Record ID as id" in output
    assert "not loaded: Create Date" in output
