"""The sources file: TOML in, the declared sources out, or every mistake at once, each with its line.

    order, order_of     which source is believed first, and for single fields
    [sources.NAME]      one system that customers come from; its `kind` decides which keys it has

The declarations below are read, and written as JSON Schema for editors (docs/sources.schema.json). Pure: the text is an
argument, and so are the names of the environment variables that are set. Format: docs/sources.md.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from enrich import errors
from enrich.domain.lengths import CUSTOMER_TEXTS, MAX_IDENTIFIER_KIND_LENGTH, MAX_SOURCE_NAME_LENGTH
from enrich.sources.mapping import ELSE, Deleted, Expression, Fields
from enrich.toml.lines import Path
from enrich.toml.mistakes import Mistakes
from enrich.toml.shapes import (
    ByKey,
    Duration,
    Key,
    ListOf,
    MapOf,
    Named,
    OneOf,
    Schema,
    Table,
    Text,
    Whole,
    definitions,
)

FILE = "file"  # the name under which `crm seed` loads
MINUTE, HOUR, DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class ChangeColumn:
    """The column that says when a row was changed. unit: of a number since 1970, "" for a date and time."""

    column: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """The table or view with one row for each customer. changed: None if it has no such column."""

    table: str
    key: str
    fields: Fields
    changed: ChangeColumn | None = None
    deleted: Deleted | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A child table. parent: its column with the customer's key. changed: None if its rows have no such column."""

    table: str
    parent: str
    fields: Fields
    changed: ChangeColumn | None = None


@dataclass(frozen=True, slots=True)
class Sharing:
    """Kinds of ids by which customers of different sources are one, and values of them that say nothing."""

    kinds: frozenset[str] = frozenset()
    placeholders: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SqlDeclaration:
    """A source that is a database. Durations in seconds. full_at: a time of day in this time zone, as 02:00."""

    name: str
    url_env: str
    every: int
    keys_every: int
    full_every: int
    full_at: str
    overlap: int
    timezone: str
    statement_timeout: int
    page: int
    person: Person
    parts: tuple[Part, ...]
    sharing: Sharing
    fingerprint: str
    kind: str = "sql"


@dataclass(frozen=True, slots=True)
class PushDeclaration:
    """A source that sends its records. secret_env: of what signs them; "" if it sends a token."""

    name: str
    secret_env: str
    sharing: Sharing
    fingerprint: str
    kind: str = "push"


Declaration = SqlDeclaration | PushDeclaration


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources file. order: of sources, the first is believed. order_of: orders of single fields."""

    declarations: Mapping[str, Declaration] = field(default_factory=dict)
    order: tuple[str, ...] = (FILE,)
    order_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_sources(text: str, environ: Collection[str] | None = None) -> Sources:
    """Return the sources of this file. Raises SourcesFileError with every mistake.

    environ: names of the environment variables that are set and not empty; None to leave this unchecked.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise errors.SourcesFileError(f"not TOML: {exc or 'nested too deeply'}") from exc
    mistakes = Mistakes.of_text(text)
    values = SHAPE.read(document, (), mistakes)
    sources = document.get("sources")
    if isinstance(sources, dict):
        _check_secrets(sources, ("sources",), environ, mistakes)
        _check_orders(document, sources, mistakes)
    if mistakes.messages:
        raise errors.SourcesFileError(str(mistakes))
    declared = {
        name: _declaration(name, table, sources[name] if isinstance(sources, dict) else {})
        for name, table in values["sources"].items()
    }
    order = values.get("order", ())
    order = order if FILE in order else (*order, FILE)
    return Sources(declared, order, values.get("order_of", {}))


def json_schema() -> Schema:
    """Return the JSON Schema of the sources file, for editors."""
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Sources of customers (ENRICH_SOURCES)"}
    return head | SHAPE.schema() | definitions(Named("column", _EXPRESSION), _EXPRESSIONS)


def json_schema_text() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


# --- checks that no single key shows


def _has_password(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.scheme and parts.password)
    except ValueError:
        return "://" in text and "@" in text


def _check_secrets(value: Any, path: Path, environ: Collection[str] | None, mistakes: Mistakes) -> None:
    """Refuse passwords in the file, and names of variables that are not set. Quotes no value."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_secrets(item, (*path, key), environ, mistakes)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_secrets(item, (*path, number), environ, mistakes)
    elif isinstance(value, str) and _has_password(value):
        mistakes.add(path, "a password does not belong in this file: name the environment variable that holds the URL")
    elif environ is None or not isinstance(value, str) or value in environ:
        return
    elif str(path[-1]).endswith("_env") and value.isidentifier():
        mistakes.add(path, "there is no environment variable of this name, or it is empty")


def _check_orders(document: Mapping[str, Any], sources: Mapping[str, Any], mistakes: Mistakes) -> None:
    known = (*sources, FILE)
    orders: list[tuple[Path, Any]] = [(("order",), document.get("order"))]
    by_field = document.get("order_of")
    if isinstance(by_field, dict):
        orders += [(("order_of", name), order) for name, order in by_field.items()]
    for path, order in orders:
        names = order if isinstance(order, list) else ()
        for number, name in enumerate(names):
            if name not in known:
                mistakes.add((*path, number), f"there is no source {name!r}; there are: {', '.join(known)}")
            elif name in names[:number]:
                mistakes.add((*path, number), f"{name!r} stands here a second time")
    if FILE in sources:
        mistakes.add(("sources", FILE), "is the name of what crm seed loads; choose another")


def _check_sql(values: dict[str, Any], path: Path, mistakes: Mistakes) -> None:
    person, parts = values.get("person"), [part for part in values.get("part") or () if part is not None]
    if not isinstance(person, Person):
        return
    tables = [person.fields, *(part.fields for part in parts)]
    ids = {kind for one in tables for kind in one.ids}
    if any(one.emails for one in tables):
        ids.add("email")
    for number, kind in enumerate(values.get("same") or ()):
        if kind not in ids:
            mapped = f"there are: {', '.join(sorted(ids))}" if ids else "it has neither emails nor ids"
            mistakes.add((*path, "same", number), f"the source gives no {kind}; {mapped}")
    if person.changed is None:
        for key in values.keys() & {"overlap", "keys_every"}:
            mistakes.add((*path, key), "has no effect without person.changed: each pass is a full one")
        for number, part in enumerate(parts):
            if part.changed is not None:
                place = (*path, "part", number, "changed")
                mistakes.add(place, "has no effect without person.changed: each pass is a full one")


def _check_part(values: dict[str, Any], path: Path, mistakes: Mistakes) -> None:
    if not {"phones", "emails", "ids", "notes"} & values.keys():
        mistakes.add(path, "gives nothing: it needs phones, emails, ids or notes")


# --- the values of tables


def _expression(
    field: str,
    split: str = "",
    prefix: str = "",
    map: Mapping[str, str] | None = None,  # noqa: A002 - the file's word
) -> Expression:
    return Expression((field,), split, prefix, map or {})


def _fields(values: Mapping[str, Any]) -> Fields:
    return Fields(
        texts={name: values[name] for name in CUSTOMER_TEXTS if name in values},
        phones=values.get("phones", ()),
        emails=values.get("emails", ()),
        ids=values.get("ids", {}),
        notes=values.get("notes", ()),
    )


def _person(**values: Any) -> Person:
    return Person(values["table"], values["key"], _fields(values), values.get("changed"), values.get("deleted"))


def _part(**values: Any) -> Part:
    return Part(values["table"], values["parent"], _fields(values), values.get("changed"))


# --- the declarations

_NAME = Text("letters a to z, digits, _ and -, beginning with a letter", "[a-z][a-z0-9_-]*", MAX_SOURCE_NAME_LENGTH)
_VARIABLE = Text("the name of an environment variable, such as ERP_URL", "[A-Za-z_][A-Za-z0-9_]*", 128)
_COLUMN = Text("the name of a column", max_length=128)
_TABLE = Text("the name of a table or view, such as crm.customers", "[^;]+", 260)
_KIND = Text("a kind of id such as account_number", "[A-Za-z][A-Za-z0-9_.-]*", MAX_IDENTIFIER_KIND_LENGTH)
# These are read from phones and emails; `staff` marks what staff decided.
_NO_KINDS_OF_IDS = {
    "phone": "use phones",
    "email": "use emails",
    "address": "use phones or emails",
    "staff": "is reserved",
}
_ID_KIND = replace(_KIND, check=lambda kind: _NO_KINDS_OF_IDS.get(kind.casefold(), ""))


def _timezone_problem(name: str) -> str:
    return (
        "" if name in available_timezones() else "is no time zone; write it as Europe/Berlin, America/New_York or UTC"
    )


_EXPRESSION = Table(
    {
        "field": Key(_COLUMN, "Name of the column", is_required=True),
        "split": Key(Text("a separator", max_length=8), "Separator, if the column holds several values"),
        "prefix": Key(Text(max_length=16), "Put before values without it, as + before numbers of a numeric column"),
        "map": Key(MapOf(Text()), f"Replaces values; {ELSE!r} stands for all others"),
    },
    make=_expression,
    shorthand=Text("the name of a column, or several separated by spaces", max_length=400),
    of_text=lambda text: Expression(tuple(text.split())),
)
_EXPRESSIONS = Named("columns", ListOf(Named("column", _EXPRESSION), may_be_single=True))
_DELETED = Table(
    {
        "field": Key(_COLUMN, "Name of the column", is_required=True),
        "equals": Key(ListOf(Text(), may_be_single=True), "Values that mean deleted; else any but NULL, 0, false, no"),
    },
    make=lambda field, equals=(): Deleted(field, equals),
    shorthand=_COLUMN,
    of_text=Deleted,
)
_CHANGED = Table(
    {
        "field": Key(_COLUMN, "Name of the column", is_required=True),
        "unit": Key(OneOf(("s", "ms", "us")), "Unit of a number since 1970"),
    },
    make=lambda field, unit="": ChangeColumn(field, unit),
    shorthand=_COLUMN,
    of_text=ChangeColumn,
)
_LISTED = {
    "phones": Key(_EXPRESSIONS, "Columns with phone numbers"),
    "emails": Key(_EXPRESSIONS, "Columns with e-mail addresses"),
    "ids": Key(MapOf(_EXPRESSIONS, _ID_KIND), "Columns with other ids, by their kind, such as account_number"),
    "notes": Key(_EXPRESSIONS, "Columns with notes"),
}
_PERSON = Table(
    {
        "table": Key(_TABLE, "Table or view with one row for each customer", is_required=True),
        "key": Key(_COLUMN, "Column that identifies a row for good", is_required=True),
        "changed": Key(_CHANGED, "Column with the time of the last change; without one, each pass is a full one"),
        "deleted": Key(_DELETED, "Column that says that a row is deleted"),
        "name": Key(_EXPRESSIONS, "Name; the first that is not empty counts", is_required=True),
        **{
            name: Key(_EXPRESSIONS, f"{name.capitalize()}; the first that is not empty counts")
            for name in CUSTOMER_TEXTS
            if name != "name"
        },
        **_LISTED,
    },
    make=_person,
)
_PART = Table(
    {
        "table": Key(_TABLE, "Child table or view, with any number of rows for a customer", is_required=True),
        "parent": Key(_COLUMN, "Its column with the customer's key", is_required=True),
        "changed": Key(_CHANGED, "Column with the time of the last change; without one, only full passes see changes"),
        **_LISTED,
    },
    make=_part,
    check=_check_part,
)
_SHARED = {
    "same": Key(ListOf(_KIND), "Kinds of ids by which customers of different sources are one: email, account_number"),
    "placeholders": Key(ListOf(Text()), "Values of these ids that say nothing, such as unknown@example.com"),
}
_SQL = Table(
    {
        "kind": Key(OneOf(("sql", "push")), "Kind of the source", is_required=True),
        "url_env": Key(_VARIABLE, "Environment variable with the database's SQLAlchemy URL", is_required=True),
        "every": Key(Duration(5, DAY), "Time between passes over what changed", default="1m"),
        "keys_every": Key(
            Duration(MINUTE, 7 * DAY), "Time between passes over all keys, for rows that went", default="1h"
        ),
        "full_every": Key(Duration(MINUTE, 30 * DAY), "Time between full passes", default="1d"),
        "full_at": Key(
            Text("a time of day such as 02:00", "(?:[01][0-9]|2[0-3]):[0-5][0-9]", 5),
            "Time of day at which full passes begin, in `timezone`, if `full_every` is a day or more",
            default="02:00",
        ),
        "overlap": Key(
            Duration(1, DAY), "Time before the last pass that is read again; longer than any transaction", default="2m"
        ),
        "timezone": Key(
            Text("a time zone such as Europe/Berlin", max_length=64, check=_timezone_problem),
            "Time zone of times that name none",
            default="UTC",
        ),
        "statement_timeout": Key(Duration(1, 10 * MINUTE), "Longest time of a statement", default="15s"),
        "page": Key(Whole(1, 10_000), "Rows that are read at once", default=500),
        "person": Key(_PERSON, "The table of customers", is_required=True),
        "part": Key(ListOf(_PART, meaning="written as [[sources.NAME.part]]"), "Child tables, as of phone numbers"),
        **_SHARED,
    },
    check=_check_sql,
)
_PUSH = Table(
    {
        "kind": Key(OneOf(("sql", "push")), "Kind of the source", is_required=True),
        "secret_env": Key(_VARIABLE, "Environment variable with the secret that signs requests (Standard Webhooks)"),
        **_SHARED,
    },
)
_ORDER = ListOf(Text("the name of a source", max_length=MAX_SOURCE_NAME_LENGTH))
SHAPE = Table(
    {
        "order": Key(_ORDER, f"Sources in the order in which they are believed; {FILE!r} is what crm seed loads"),
        "order_of": Key(
            Table({name: Key(_ORDER, f"Order for {name}") for name in (*CUSTOMER_TEXTS, "notes", "cases")}),
            "Other orders, of single fields",
        ),
        "sources": Key(
            MapOf(ByKey("kind", {"sql": _SQL, "push": _PUSH}), _NAME, may_be_empty=False),
            "The sources, each by its name",
            is_required=True,
        ),
    }
)


def _declaration(name: str, values: Mapping[str, Any], raw: Mapping[str, Any]) -> Declaration:
    """Return the declaration. raw: its table; what of it decides about records makes the fingerprint."""
    kinds = values.get("same", ())
    sharing = Sharing(frozenset(kinds), frozenset(values.get("placeholders", ())))
    mapping = {key: raw[key] for key in ("kind", "timezone", "person", "part", *_SHARED) if key in raw}
    fingerprint = blake2b(json.dumps(mapping, sort_keys=True).encode(), digest_size=16).hexdigest()
    if values["kind"] == "push":
        return PushDeclaration(name, values.get("secret_env", ""), sharing, fingerprint)
    settings = {key: values[key] for key in _OF_SQL}
    return SqlDeclaration(name, **settings, parts=values.get("part", ()), sharing=sharing, fingerprint=fingerprint)


_OF_SQL = (
    "url_env",
    "every",
    "keys_every",
    "full_every",
    "full_at",
    "overlap",
    "timezone",
    "statement_timeout",
    "page",
    "person",
)
