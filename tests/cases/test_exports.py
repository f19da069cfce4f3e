"""Exports of CRMs and address books, loaded as they are: `exports/README.md` says where each comes from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from enrich.customers.fixture_rows import CustomerFixture
from enrich.customers.fixtures import read_fixtures
from enrich.customers.key_rules import KeyRules
from enrich.customers.matching import choose, lookup_keys
from enrich.customers.seeding import SeedReport, seed
from enrich.customers.store import CustomerStore
from enrich.database.engine import Database
from enrich.domain.matches import Matched
from tests.support.databases import SEEDED_AT

EXPORTS = Path(__file__).with_name("exports")

ADA, JOSE, JURGEN = "Ada Example", "José Ramírez", "Jürgen Müller"
# For each file: what is said about it, and who is found by which address.
EXPECTED = {
    "hubspot-contacts.csv": (
        ["HubSpot export: read Record ID as id"],
        {
            "+14155550100": ADA,
            "+14155550110": ADA,
            "ada.old@example.com": ADA,
            "+14155550101": JOSE,
            "+14155550111": JOSE,
            "info@example.net": "info@example.net",
            "+14155550102": "Zoë O'Hara",
        },
    ),
    "hubspot-contacts.xlsx": (
        ["read sheet 'all-contacts'; not read: 'Definitions'", "HubSpot export: read Record ID as id"],
        {"+14155550110": ADA, "jose@example.org": JOSE, "+14155550102": "Zoë O'Hara"},
    ),
    "salesforce-report.csv": (
        ["Salesforce export: ", "left out the last 5 lines", "not UTF-8 in lines 4, 5: read as Windows-1252"],
        {"+14155550110": ADA, "+493023125100": JURGEN, "+493023125101": "Groß"},
    ),
    "salesforce-data-loader.csv": (["Salesforce export: "], {"+14155550100": ADA, "jose@example.org": JOSE}),
    "zendesk-users.csv": (
        ["Zendesk export: "],
        {"+14155550100": ADA, "lukasz@example.org": "Łukasz Żak", "+14155550103": "Caller +1 (415) 555-0103"},
    ),
    "google-contacts.csv": (
        ["Google Contacts export: "],
        {
            "+14155550100": "Ada Augusta Example",
            "+14155550120": "Ada Augusta Example",
            "ada.old@example.com": "Ada Augusta Example",
            "siobhan@example.org": "Siobhán O'Brien",
            "+493023125100": "Beispiel GmbH",
        },
    ),
    "outlook-contacts.csv": (
        ["Outlook export: ", "not UTF-8 in lines 4, 5"],
        {"+14155550110": ADA, "+4532123456": "Søren Kjær", "+493023125100": "Café Beispiel"},
    ),
    "contacts-2.1.vcf": (["2 without a UID"], {"+493023125100": JURGEN, "+14155550100": ADA}),
    "contacts-3.0.vcf": (
        ["1 without a UID"],
        {
            "+14155550100": "Dr. Ada Augusta Example",
            "ada.private@example.org": "Dr. Ada Augusta Example",
            "+493023125101": "Beispiel GmbH",
        },
    ),
    "contacts-4.0.vcf": ([], {"+14155550100": "Siobhán O'Brien", "siobhan@example.org": "Siobhán O'Brien"}),
}


def load(database: Database, path: Path) -> tuple[SeedReport, list[str]]:
    remarks: list[str] = []
    rows = read_fixtures(path, region="US", remark=remarks.append)
    return seed(database, rows, now=SEEDED_AT), remarks


def who_is(database: Database, address: str) -> str | None:
    keys = lookup_keys({"from": address}, KeyRules.parse("from"))
    found = CustomerStore(database).look_up(keys)
    match = choose(keys, found.candidates)
    customer = CustomerStore(database).details_of(match, found)
    return customer.name if isinstance(match, Matched) and customer else None


def test_every_export_is_loaded() -> None:
    assert {path.name for path in EXPORTS.iterdir() if path.suffix != ".md"} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_export_loads_without_a_hand_touching_it(name: str, database: Database) -> None:
    said, people = EXPECTED[name]
    report, remarks = load(database, EXPORTS / name)
    assert report.bad == ()
    assert [remark.startswith(start) for remark, start in zip(remarks, said, strict=True)] == [True] * len(said)
    assert {address: who_is(database, address) for address in people} == people
    again, _ = load(database, EXPORTS / name)
    assert (again.created, again.changed, again.unchanged) == (0, 0, report.created)


@pytest.mark.parametrize("address", ["+14155550190", "+14155550199", "+493023125190"])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_fax_or_a_companys_main_number_identifies_nobody(name: str, address: str, database: Database) -> None:
    load(database, EXPORTS / name)
    assert who_is(database, address) is None


def test_ids_are_those_of_the_source_or_made_of_nothing_readable() -> None:
    ids = {
        name: [row.id for row in read_fixtures(EXPORTS / name, region="US") if isinstance(row, CustomerFixture)]
        for name in EXPECTED
    }
    assert ids["hubspot-contacts.csv"] == ids["hubspot-contacts.xlsx"] == ["51", "52", "53", "54"]
    assert ids["salesforce-report.csv"] == ["0035g00000ABCdE", "0035g00000ABCde", "0035g00000ABCdF"]
    assert ids["zendesk-users.csv"] == ["360001", "360002", "360003"]
    assert ids["contacts-4.0.vcf"] == ["4fbe8971-0bc3-424c-9c26-36c3e1eff6b1"]
    for name in ("google-contacts.csv", "outlook-contacts.csv", "contacts-2.1.vcf"):
        assert all(re.fullmatch("contact-[0-9a-f]{16}", one) for one in ids[name])
