"""The `flask crm` commands."""

from __future__ import annotations

import json
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from enrich.customers import audit, records
from enrich.customers.identifiers import Identifier
from enrich.customers.seeding import Load
from enrich.database.engine import Database
from tests.support.app import run_command as run


def test_seeding_twice_changes_nothing_the_second_time(app: Flask) -> None:
    assert run(app, "crm", "seed", "--demo") == (0, "builtin.json: 14 new, 0 changed, 0 unchanged\n")
    assert run(app, "crm", "seed", "--demo") == (0, "builtin.json: 0 new, 0 changed, 14 unchanged\n")


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
    run(app, "crm", "seed", "--demo")
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
    run(app, "crm", "seed", "--demo")
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
    status, output = run(app, "crm", "seed", "--demo", *options)
    assert status == 2
    assert message in output


def test_an_export_is_said_to_be_one(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "hubspot.csv"
    file.write_text("Record ID,First Name,Last Name,Email,Create Date\n1,Ada,Example,ada@example.com,2026-01-02\n")
    status, output = run(app, "crm", "seed", str(file))
    assert status == 0
    assert "hubspot.csv: HubSpot export: read Record ID as id" in output
    assert "not loaded: Create Date" in output


ADA = {"id": "C-1", "name": "Ada Lovelace", "phones": ["+1 415 555 0101"], "emails": ["ada@example.com"]}
TOM = {"id": "C-2", "name": "Tom Bell", "emails": ["tom@example.com"]}


def write(path: Path, *customers: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(one) + "\n" for one in customers))
    return str(path)


def people(number: int) -> list[dict[str, Any]]:
    return [{"id": f"P-{each}", "name": f"Person {each}", "ids": {"account_number": each}} for each in range(number)]


def owners(database: Database, key: Identifier) -> tuple[str, ...]:
    with database.reading() as session:
        return records.owners(session, key)


class TestDemo:
    @pytest.mark.parametrize("arguments", [(), ("--demo", __file__)], ids=["neither", "both"])
    def test_a_file_or_the_invented_people_have_to_be_named(self, app: Flask, arguments: tuple[str, ...]) -> None:
        """Without a file, the invented people were loaded beside an operator's customers."""
        status, output = run(app, "crm", "seed", *arguments)
        assert status == 2
        assert "Give a FILE of customers, or --demo" in output
        assert run(app, "crm", "export") == (0, "")


class TestReplace:
    def test_customers_that_the_file_does_not_have_any_more_go(self, app: Flask, tmp_path: Path) -> None:
        run(app, "crm", "seed", write(tmp_path / "all.jsonl", ADA, TOM))
        fewer = write(tmp_path / "all.jsonl", ADA)
        assert run(app, "crm", "seed", fewer)[1] == "all.jsonl: 0 new, 0 changed, 1 unchanged\n"
        assert run(app, "crm", "seed", "--replace", fewer)[1] == "all.jsonl: 0 new, 0 changed, 1 unchanged, 1 removed\n"
        assert '"C-2"' not in run(app, "crm", "export")[1]

    @pytest.mark.parametrize("number", [0, 2])
    def test_it_takes_one_file(self, app: Flask, tmp_path: Path, number: int) -> None:
        files = [write(tmp_path / f"{each}.jsonl", ADA) for each in range(number)]
        status, output = run(app, "crm", "seed", "--replace", *(files or ["--demo"]))
        assert (status, "--replace takes one FILE" in output) == (2, True)

    def test_the_brake_names_the_numbers_and_the_command_to_go_on_with(self, app: Flask, tmp_path: Path) -> None:
        run(app, "crm", "seed", write(tmp_path / "all.jsonl", *people(100)))
        fewer = write(tmp_path / "all.jsonl", *people(60))
        options = ("--encoding", "utf-8", "--map", "a b=name")
        status, output = run(app, "crm", "seed", *options, "--replace", fewer)
        assert status == 1
        assert "all.jsonl: 40 of 100 customers" in output
        command = f"flask crm seed --map 'a b=name' --encoding utf-8 --replace --accept 40 {fewer}"
        assert command in output
        assert len(run(app, "crm", "export")[1].splitlines()) == 100
        accepted = run(app, "crm", "seed", *options, "--replace", "--accept", "40", fewer)
        told = "all.jsonl: going on after 60 rows that were loaded before\n"
        assert accepted == (0, told + "all.jsonl: 0 new, 0 changed, 0 unchanged, 40 removed\n")


class TestInterruption:
    def test_an_interrupted_load_goes_on_where_it_was(self, app: Flask, tmp_path: Path, database: Database) -> None:
        file = write(tmp_path / "all.jsonl", *people(600), {"id": "P-600"})

        stop = "CREATE TRIGGER stop BEFORE INSERT ON customers WHEN NEW.id = 'P-550'"
        database.write(text(f"{stop} BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END"))
        status, output = run(app, "crm", "seed", file)
        assert status == 1
        database.write(text("DROP TRIGGER stop"))
        status, output = run(app, "crm", "seed", file)
        assert "all.jsonl: going on after 500 rows" in output
        assert "line 601" in output
        assert len(run(app, "crm", "export")[1].splitlines()) == 600

    def test_another_load_that_is_running_is_named(self, app: Flask, tmp_path: Path, database: Database) -> None:
        Load(database, lambda: datetime.now(UTC), owner="a colleague")
        status, output = run(app, "crm", "seed", write(tmp_path / "all.jsonl", ADA))
        assert status == 1
        assert "stream_taken: a colleague is loading file already" in output
        assert "Traceback" not in output

    def test_one_that_was_killed_here_is_not_waited_for(self, app: Flask, tmp_path: Path, database: Database) -> None:
        with subprocess.Popen(["/bin/true"]) as ended:
            pass
        Load(database, lambda: datetime.now(UTC), owner=f"process {ended.pid} on {socket.gethostname()[:64]}")
        assert run(app, "crm", "seed", write(tmp_path / "all.jsonl", ADA))[0] == 0


class TestDeletion:
    @pytest.fixture(autouse=True)
    def customers(self, app: Flask, tmp_path: Path) -> None:
        maria = {"id": "C-3", "name": "Maria Bell", "emails": ["tom@example.com"]}
        run(app, "crm", "seed", write(tmp_path / "all.jsonl", ADA, TOM, maria))

    @pytest.mark.parametrize("key", ["C-1", "+1 415 555 0101", "ada@example.com"])
    def test_the_customer_is_shown_asked_about_and_deleted(self, app: Flask, database: Database, key: str) -> None:
        assert run(app, "crm", "delete", key, stdin="n\n")[0] == 1
        assert owners(database, Identifier("email", "ada@example.com")) == ("C-1",)
        status, output = run(app, "crm", "delete", key, stdin="y\n")
        assert status == 0
        assert "C-1: Ada Lovelace, +1 415 555 0101, ada@example.com. 3 numbers, addresses and ids" in output
        assert "Deleted C-1. To undo it: the audit trail of" in output
        assert owners(database, Identifier("email", "ada@example.com")) == ()
        with database.reading() as session:
            (entry,) = audit.entries_of_customer(session, "C-1")
        assert (entry.by, entry.action, entry.can_be_undone) == ("flask crm delete", "deleted", True)

    def test_a_script_is_not_asked(self, app: Flask) -> None:
        assert run(app, "crm", "delete", "C-1", "--yes")[0] == 0
        assert run(app, "crm", "delete", "C-1", "--yes") == (1, "Error: C-1 is gone already.\n")

    @pytest.mark.parametrize(
        ("key", "message"),
        [
            ("nobody@example.com", "No customer has nobody@example.com."),
            ("tom@example.com", "2 customers have tom@example.com; give the id of one:\n  C-2: Tom Bell\n  C-3: Maria"),
        ],
    )
    def test_exactly_one_customer_has_to_be_meant(self, app: Flask, database: Database, key: str, message: str) -> None:
        status, output = run(app, "crm", "delete", key, "--yes")
        assert status == 1
        assert message in output
        assert len(owners(database, Identifier("email", "tom@example.com"))) == 2

    def test_a_part_of_another_customer_is_not_deleted_with_it_unseen(self, app: Flask, database: Database) -> None:
        database.write(text("UPDATE customers SET merged_into = 'C-1' WHERE id = 'C-2'"))
        status, output = run(app, "crm", "delete", "C-2", "--yes")
        assert (status, "C-2 is part of C-1" in output) == (1, True)
