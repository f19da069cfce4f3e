"""The sources file: what it declares, every mistake at once, and its schema for editors."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from enrich import errors
from enrich.sources.file import (
    ChangeColumn,
    PushDeclaration,
    SqlDeclaration,
    json_schema,
    json_schema_text,
    read_sources,
)
from enrich.sources.mapping import Deleted, Expression
from tests.support.sources import declared, sources_file

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = (DOCS / "sources.example.toml").read_text()
MISTAKES = Path(__file__).with_name("mistakes.toml")


def test_the_example() -> None:
    sources = read_sources(EXAMPLE, {"ERP_URL", "SHOP_WEBHOOK_SECRET"})
    erp, shop = sources.declarations["erp"], sources.declarations["shop"]
    assert isinstance(erp, SqlDeclaration)
    assert isinstance(shop, PushDeclaration)
    assert (erp.every, erp.keys_every, erp.full_every, erp.overlap) == (60, 3600, 86_400, 120)
    assert erp.person.changed == ChangeColumn("updated_at")
    assert erp.person.deleted == Deleted("deleted_at")
    assert erp.person.fields.texts["name"] == (Expression(("firstname", "lastname")), Expression(("email",)))
    assert erp.person.fields.phones == (Expression(("tel",)), Expression(("mobile",), prefix="+"))
    assert [part.table for part in erp.parts] == ["crm.phones"]
    assert erp.sharing.kinds == shop.sharing.kinds == {"account_number"}
    assert shop.secret_env == "SHOP_WEBHOOK_SECRET"
    assert sources.order == ("erp", "shop", "file")
    assert sources.order_of == {"company": ("shop", "erp")}


def test_what_is_not_said_has_a_default() -> None:
    erp = declared(person="")
    assert (erp.every, erp.keys_every, erp.full_every, erp.overlap) == (60, 3600, 86_400, 120)
    assert (erp.timezone, erp.statement_timeout, erp.page, erp.parts) == ("UTC", 15, 500, ())
    assert read_sources(sources_file()).order == ("file",)


def test_files_are_believed_last_unless_the_order_names_them() -> None:
    assert read_sources('order = ["erp"]' + sources_file()).order == ("erp", "file")
    assert read_sources('order = ["file", "erp"]' + sources_file()).order == ("file", "erp")


def test_every_mistake_at_once_with_its_line() -> None:
    with pytest.raises(errors.SourcesFileError) as caught:
        read_sources(MISTAKES.read_text(), {"ERP_URL", "FULL_URL"})
    assert str(caught.value) + "\n" == MISTAKES.with_suffix(".txt").read_text()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[sources", "not TOML"),
        ("", "the file: sources is missing"),
        ("sources = 1", "line 1, sources: must be a table with at least one key"),
        ("[sources]", "line 1, sources: must be a table with at least one key"),
        ("[[sources.a]]", "line 1, sources, a: must be a table"),
        ('[sources.file]\nkind = "push"', "line 1, sources, file: is the name of what crm seed loads"),
        ('order_of = 1\n[sources.a]\nkind = "push"', "line 1, order_of: must be a table"),
        ('order = "a"\n[sources.a]\nkind = "push"', "line 1, order: must be a list in brackets"),
    ],
)
def test_the_file_as_a_whole(text: str, mistake: str) -> None:
    with pytest.raises(errors.SourcesFileError) as caught:
        read_sources(text)
    assert mistake in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "problem"), [("phone", "use phones"), ("Email", "use emails"), ("staff", "is reserved")]
)
def test_kinds_that_are_no_ids(kind: str, problem: str) -> None:
    with pytest.raises(errors.SourcesFileError, match=f"ids, {kind}: {problem}"):
        declared(person=f'ids = {{ {kind} = "kdnr" }}')


@pytest.mark.parametrize("value", ["postgresql://me:secret@db/x", "mysql://me:se@cr/et@db/x", "x://[secret@y:p@z"])
def test_a_password_in_the_file_is_a_mistake_and_is_not_repeated(value: str) -> None:
    with pytest.raises(errors.SourcesFileError) as caught:
        declared(person=f"notes = ['{value}']")
    assert "a password does not belong in this file" in str(caught.value)
    assert value not in str(caught.value)


def test_the_fingerprint_is_that_of_what_decides_about_records() -> None:
    assert declared().fingerprint == declared('every = "7s"').fingerprint
    assert declared().fingerprint != declared(person='changed = "updated_at"\nphones = "tel"').fingerprint
    assert declared().fingerprint != declared('timezone = "Europe/Berlin"').fingerprint


def test_the_schema_in_the_documentation_is_current() -> None:
    assert (DOCS / "sources.schema.json").read_text() == json_schema_text()


def invalid_places(document: dict[str, Any]) -> set[str]:
    """Return the sources, and other keys, of which the schema says that they are wrong."""
    jsonschema.Draft7Validator.check_schema(json_schema())
    found = jsonschema.Draft7Validator(json_schema()).iter_errors(document)
    return {".".join(map(str, list(error.absolute_path)[:2])) for error in found}


def test_the_schema_accepts_the_example_and_finds_mistakes() -> None:
    assert invalid_places(tomllib.loads(EXAMPLE)) == set()
    wrong = invalid_places(tomllib.loads(MISTAKES.read_text()))
    assert wrong >= {"", "order_of", "sources", "sources.erp", "sources.hub", "sources.none"}


@pytest.mark.parametrize(
    ("source", "person"),
    [
        ('every = "1 minute"', ""),
        ('page = "many"', ""),
        ("page = 0", ""),
        ('colour = "blue"', ""),
        ('url_env = "ERP URL"', ""),
        ("same = [1]", ""),
        ("", 'phones = [{ column = "tel" }]'),
        ("", 'phones = ["tel", 7]'),
        ("", 'ids = { "a b" = "kdnr" }'),
        ("", 'changed = { field = "at", unit = "minutes" }'),
        ("", 'deleted_at = "x"'),
        ("", "company = ''"),
        ("", 'tier = { field = "class", map = { A = 1 } }'),
    ],
)
def test_reader_and_schema_refuse_the_same(source: str, person: str) -> None:
    text = sources_file(source, person)
    if "url_env" in source:
        text = text.replace('url_env = "ERP_URL"\n', "")
    with pytest.raises(errors.SourcesFileError):
        read_sources(text)
    assert invalid_places(json.loads(json.dumps(tomllib.loads(text)))) == {"sources.erp"}
