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
