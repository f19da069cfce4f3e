"""Columns of a table of customers: which field each one holds, by our own names, by those of known exports, or as told.

Our own names are those of the JSON format (docs/customers.md). The exports of HubSpot, Salesforce, Zendesk, Google
Contacts, Outlook, Zoho and Pipedrive are recognised by column names that only they have; of theirs, columns that no
field matches are left aside. In any other table every column has to be known. Pure.

Sources of the names, read in November 2026:

    HubSpot          https://knowledge.hubspot.com/properties/hubspots-default-contact-properties
    Salesforce       https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_contact.htm
    Zendesk          https://support.zendesk.com/hc/en-us/articles/4408893496218-Bulk-importing-users
    Google Contacts  https://support.google.com/contacts/answer/7199294
    Outlook          https://support.microsoft.com/en-us/office/create-or-edit-csv-files-to-import-into-outlook-4518d70d-8fe9-46ad-94fa-1494247193c7
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from enrich.customers.fixture_rows import KIND_OF_FIELD, unknown_name
from enrich.customers.identifiers import unguarded
from enrich.domain.lengths import CUSTOMER_TEXTS

VALUE_SEPARATOR = "|"  # between several values in a cell of our own columns

OWN_COLUMNS = ("id", *CUSTOMER_TEXTS, *KIND_OF_FIELD, "notes")
_LISTS = frozenset({*KIND_OF_FIELD, "notes"})
_NAME_PARTS = ("first_name", "middle_name", "last_name")
_TARGETS = (*OWN_COLUMNS, *_NAME_PARTS)
_NAMING = frozenset({"name", *_NAME_PARTS, "company", *KIND_OF_FIELD})  # what a customer can be called by
_ASIDE = "_"
_REMARKED_COLUMNS = 12
# Cells in which a line break is suspicious: of all fields but notes.
_SINGLE_LINE = frozenset({*_TARGETS} - {"notes"})

# Names that mean the same in every export, reduced to letters and digits.
_ALIASES = {
    "id": (r"(?:contact|customer|person)id",),
    "name": (r"fullname", r"displayname", r"(?:contact|customer|person)name", r"contactfullname"),
    "first_name": (r"firstname", r"givenname"),
    "middle_name": (r"middlename", r"additionalname"),
    "last_name": (r"lastname", r"surname", r"familyname"),
    "company": (
        r"(?:associated|primary)?company(?:name)?",
        r"(?:user)?organi[sz]ation\d*(?:name)?",
        r"accountname",
    ),
    "owner": (r"(?:contact|account|record|customer|personaccount|hubspot)?owner(?:name|fullname)?",),
    "language": (r"(?:preferred)?language", r"locale"),
    "notes": (r"notes?",),
    "phones": (
        r"(?:mobile|home|work|business|other|primary|car|direct|cell|user)?(?:tele)?phone(?:number)?\d?",
        r"(?:mobile|cell)(?:number)?",
        r"(?:hs)?whatsapp(?:phone)?(?:number)?",
        r"phone\d+value",
        r"personphone(?:work|home|mobile|other)?",
    ),
    "emails": (
        r"(?:work|personal|primary|other|home|business|secondary|alternate|user)?emails?(?:address)?\d?",
        r"(?:hs)?additionalemail(?:addresse)?s",
        r"email\d+(?:value|address)",
        r"personemail(?:work|home|other)?",
    ),
}
_ALIAS_OF = tuple((target, re.compile("|".join(patterns))) for target, patterns in _ALIASES.items())


@dataclass(frozen=True, slots=True)
class Source:
    """A program whose exports are recognised.

    signatures: sets of reduced names; an export has all of one set. fields: reduced names beside the aliases.
    has_footer: a report ends in lines that are no rows.
    """

    name: str
    signatures: tuple[frozenset[str], ...]
    fields: Mapping[str, str] = field(default_factory=dict)
    has_footer: bool = False


def _signatures(*sets: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(one.split()) for one in sets)


SOURCES = (
    Source(
        "Zoho CRM",
        _signatures("recordid contactownerid", "recordid accountnameid"),
        {"recordid": "id", "description": "notes"},
    ),
    Source(
        "HubSpot",
        _signatures(
            "recordid",
            "recordidcontact",
            "hsobjectid",
            "lifecyclestage email",
            "hubspotownerid email",
            "contactowner createdate",
            "additionalemailaddresses email",
        ),
        {"recordid": "id", "recordidcontact": "id", "hsobjectid": "id", "contactid": ""},
    ),
    Source(
        "Salesforce",
        _signatures(
            "contactid lastname",
            "accountname lastname",
            "accountname contactname",
            "name accountname email",
            "name accountname phone",
            "accountname contactowneralias",
            "contactid accountname",
            "mailingstreet lastname",
            "mailingcity lastname",
            "salutation lastname email",
            "id lastname ownerid",
            "id lastname accountid",
            "id lastname mobilephone",
            "id name createdbyid",
            "leadid lastname",
            "contactowner createddate",
            "accountowner lastname",
        ),
        {"leadid": "id", "companyaccount": "company", "contactdescription": "notes", "description": "notes"},
        has_footer=True,
    ),
    Source(
        "Zendesk",
        _signatures(
            "name externalid",
            "name email role",
            "name email organization",
            "id name organizationid",
            "id name email lastsignin",
            "id name email suspended",
            "userid username",
            "requesterid requestername",
        ),
        {
            "userid": "id",
            "username": "name",
            "externalid": "ids.external_id",
            "details": "notes",
            "requesterid": "id",
            "requestername": "name",
            "requesteremail": "emails",
            "requesterorganizationname": "company",
            "requesterexternalid": "ids.external_id",
        },
    ),
    Source(
        "Google Contacts",
        _signatures("email1value", "phone1value", "email1type", "email1label", "phoneticfirstname", "groupmembership"),
    ),
    Source(
        "Outlook",
        _signatures(
            "emailaddress businessphone",
            "emailaddress homephone",
            "emailaddress mobilephone",
            "emailaddress email2address",
            "emaildisplayname",
            "givenyomi",
            "givennameyomi",
            "firstname lastname emailaddress company",
        ),
    ),
    Source(
        "Pipedrive",
        _signatures("personname", "personid"),
        {"personorganization": "company"},
    ),
)


class HeaderError(ValueError):
    """The header names no customers, or columns that are not known."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The field that each column holds, in order.

    targets: `id`, `name`, `first_name`, …, `ids.<kind>`, or `_` for a column left aside. is_own: True for a column with
    one of our own names, in which `|` separates values. source: the recognised export, or None.
    remark: one line about what was recognised; empty if every column has our own name. labels: number column -> the
    column that says what kind of number it is, as Google Contacts has them.
    """

    targets: tuple[str, ...]
    is_own: tuple[bool, ...]
    source: Source | None
    remark: str
    labels: Mapping[int, int] = field(default_factory=dict)

    @property
    def single_line(self) -> frozenset[int]:
        """The columns in which a line break is suspicious."""
        return frozenset(
            number for number, one in enumerate(self.targets) if one in _SINGLE_LINE or one.startswith("ids.")
        )

    def _is_fax(self, number: int, cells: Sequence[str]) -> bool:
        label = self.labels.get(number, len(cells))
        return label < len(cells) and "fax" in cells[label].casefold()

    def to_raw(self, cells: Sequence[str]) -> dict[str, Any]:
        """Return the row as an object of the JSON format. Cells that are missing are empty, surplus ones ignored."""
        raw: dict[str, Any] = {}
        parts: dict[str, str] = {}
        for number, target in enumerate(self.targets):
            cell = unguarded(cells[number]).replace("\r\n", "\n") if number < len(cells) else ""
            is_own = self.is_own[number] and self.source is None
            if self._is_fax(number, cells):
                cell = ""
            if target in _NAME_PARTS:
                parts[target] = " ".join(filter(None, (parts.get(target), cell.strip())))
            elif target.startswith("ids."):
                ids = raw.setdefault("ids", {}).setdefault(target.removeprefix("ids."), [])
                ids += _values(target, cell, is_own=is_own)
            elif target in _LISTS:
                raw.setdefault(target, []).extend(_values(target, cell, is_own=is_own))
            elif target != _ASIDE and not raw.get(target):
                raw[target] = cell
        if parts and not raw.get("name", "").strip():
            raw["name"] = " ".join(filter(None, (parts.get(part) for part in _NAME_PARTS)))
        raw.setdefault("name", "")
        if "id" not in raw:
            raw["id"] = made_id(raw)
        return raw


def made_id(raw: Mapping[str, Any]) -> str:
    """Return an id for a contact of an address book, which has none: the same as long as its first address stays.

    A digest of the first e-mail address, else phone number, else name and company: an id shows in logs, so it must not
    be one of them. Empty for a contact without any of these.
    """
    emails, phones = ([str(one) for one in raw.get(name) or ()] for name in ("emails", "phones"))
    texts = [str(raw.get(name) or "") for name in ("name", "company")]
    key = next(iter(emails), "").casefold() or re.sub(r"[^+\d]", "", next(iter(phones), "")) or "\n".join(texts).strip()
    return f"contact-{hashlib.sha256(key.encode(errors='replace')).hexdigest()[:16]}" if key else ""


def recognise(header: Sequence[str], mapping: Mapping[str, str] | None = None) -> Columns:
    """Return the columns of this header.

    mapping: column -> field, as the user has told; an unknown column of it is an error. Raises HeaderError, with every
    unknown column and what to do.
    """
    names = [name.strip() for name in header]
    mapped = _mapped(names, mapping or {})
    is_own = [name in mapped or _is_own(name) for name in names]
    reduced = [_reduced(name) for name in names]
    source = None if all(is_own) else _source(frozenset(reduced))
    targets, unknown = [], []
    for name, short in zip(names, reduced, strict=True):
        target = mapped.get(name) or _own_target(name) or _foreign_target(short, source)
        if not target and source is None:
            unknown.append(name)
        targets.append(target or _ASIDE)
    if unknown:
        raise HeaderError(_unknown(unknown))
    _check(names, targets, source)
    remark = "" if all(is_own) else _remark(names, targets, is_own, source)
    return Columns(tuple(targets), tuple(is_own), source, remark, _labels(reduced))


def _labels(reduced: Sequence[str]) -> dict[int, int]:
    place = {short: number for number, short in enumerate(reduced)}
    labels = {}
    for short, number in place.items():
        name = short.removesuffix("value")
        label = place.get(f"{name}label", place.get(f"{name}type"))
        if re.fullmatch(r"phone\d+value", short) and label is not None:
            labels[number] = label
    return labels


def parse_mapping(texts: Iterable[str]) -> dict[str, str]:
    """Return column -> field for texts such as "Phone (private)=phones". Raises ValueError with what is wrong."""
    mapping = {}
    for text in texts:
        column, equals, target = (part.strip() for part in text.rpartition("="))
        if not column or not equals:
            raise ValueError(f"{text!r}: write it as 'Column=field'")
        if target not in _TARGETS and not target.startswith(("ids.", _ASIDE)):
            raise ValueError(f"{text!r}: {unknown_name(target, [*_TARGETS, 'ids.<kind>', '_'], 'field')}")
        mapping[column] = _ASIDE if target.startswith(_ASIDE) else target
    return mapping


def _values(target: str, cell: str, *, is_own: bool) -> list[str]:
    if is_own:
        values = cell.split(VALUE_SEPARATOR)
    elif target == "notes":
        values = [cell]
    elif target == "emails":  # HubSpot: a@example.com;b@example.com
        values = re.split(r"\s*(?::::|[|;,])\s*(?=[^\s;,|]+@)", cell)
    else:  # Google Contacts: +1 415 555 0100 ::: +1 415 555 0101
        values = re.split(r":::|\|", cell)
    return [value.strip() for value in values if value.strip()]


def _reduced(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _is_own(name: str) -> bool:
    return name.lower() in OWN_COLUMNS or name.lower().startswith("ids.") or name.startswith(_ASIDE) or not name


def _own_target(name: str) -> str:
    if not name or name.startswith(_ASIDE):
        return _ASIDE
    if name.lower().startswith("ids."):
        return f"ids.{name[4:]}"
    return name.lower() if name.lower() in OWN_COLUMNS else ""


def _foreign_target(short: str, source: Source | None) -> str:
    if source is not None and short in source.fields:
        return source.fields[short]
    return next((target for target, pattern in _ALIAS_OF if pattern.fullmatch(short)), "")


def _source(reduced: frozenset[str]) -> Source | None:
    """Return the source of which the header has the largest signature."""
    matches = [
        (len(signature), -number)
        for number, source in enumerate(SOURCES)
        for signature in source.signatures
        if signature <= reduced
    ]
    return SOURCES[-max(matches)[1]] if matches else None


def _mapped(names: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    by_fold = {name.casefold(): name for name in names}
    unknown = [column for column in mapping if column.casefold() not in by_fold]
    if unknown:
        raise HeaderError(f"no column {', '.join(map(repr, unknown))}; the columns are {', '.join(map(repr, names))}")
    return {by_fold[column.casefold()]: target for column, target in mapping.items()}


def _unknown(names: Sequence[str]) -> str:
    known_columns = [*OWN_COLUMNS, "ids.<kind>"]
    if len(names) == 1:
        problem = unknown_name(names[0], known_columns, "column")
    else:
        problem = f"columns {', '.join(map(repr, names))} are not known; use {', '.join(known_columns)}"
    return (
        f"{problem}; --map 'Column=field' says what a column holds, and a name that begins with `_` (_remark, or"
        " --map 'Column=_') keeps it aside"
    )


def _check(names: Sequence[str], targets: Sequence[str], source: Source | None) -> None:
    own = [target for name, target in zip(names, targets, strict=True) if _own_target(name) == target != _ASIDE]
    is_named = _NAMING & set(targets)
    has_id = "id" in targets or source is not None
    if len(set(own)) < len(own) or not has_id or not is_named:
        raise HeaderError(
            "needs each column once, with `id` and `name`; --map 'Column=id' says which column holds the customer's id"
        )


def _remark(names: Sequence[str], targets: Sequence[str], is_own: Sequence[bool], source: Source | None) -> str:
    read: dict[str, list[str]] = {}
    for name, target, own in zip(names, targets, is_own, strict=True):
        if target != _ASIDE and not own:
            read.setdefault("name" if target in _NAME_PARTS else target, []).append(name)
    aside = [
        name for name, target in zip(names, targets, strict=True) if target == _ASIDE and name and name[0] != _ASIDE
    ]
    parts = [f"{' + '.join(columns)} as {target}" for target, columns in read.items()]
    text = f"{f'{source.name} export: ' if source else ''}read {', '.join(parts)}"
    if "id" not in targets:
        text += "; no column with an id, so each contact's e-mail address or number makes one"
    if aside:
        more = len(aside) - _REMARKED_COLUMNS
        text += f"; not loaded: {', '.join(aside[:_REMARKED_COLUMNS])}{f' and {more} more' if more > 0 else ''}"
    return f"{text} (--map 'Column=field' decides otherwise)"
