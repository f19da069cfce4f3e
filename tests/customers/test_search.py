"""Finding customers by what a person types, on indexes alone."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, insert, select, text

from enrich.customers.fixture_rows import read_customer
from enrich.customers.search import FoundCustomer, customers, customers_after, find_customers
from enrich.customers.seeding import seed
from enrich.customers.tables import CustomerRow, IdentifierRow, WordRow
from enrich.database.engine import Database
from tests.support.databases import seed_customers
from tests.support.plans import READS_A_TABLE, plans_of


@pytest.fixture
def crm(database: Database) -> Database:
    seed_customers(database, datetime(2026, 11, 24, tzinfo=UTC))
    return database


def found(database: Database, query: str) -> list[str]:
    return [one.id for one in find_customers(database, query, kinds=("account_number",), region="US")]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("Ada", ["C-1001"]),
        ("lovel", ["C-1001"]),
        ("LOVELACE ada", ["C-1001"]),
        ("analytical", ["C-1001"]),
        ("bell", ["C-1003", "C-1004"]),
        ("bell tom", ["C-1004"]),
        ("617 555 0142", ["C-1003", "C-1004"]),
        ("ada@example.com", ["C-1001"]),
        ("c-1002", ["C-1002"]),
        ("a-17", ["C-1001"]),
        ("ovelace", []),
        ("bell grace", []),
        ("", []),
        ("%", []),
        ("_", []),
        ("\x00", []),
        ("x" * 1000, []),
    ],
)
def test_what_is_typed_finds(crm: Database, query: str, ids: list[str]) -> None:
    assert found(crm, query) == ids


def test_accents_and_case_do_not_matter_where_the_script_has_none(crm: Database) -> None:
    crm.write(
        text(
            "INSERT INTO customers (id, name, company, tier, language, owner, updated_at) "
            "VALUES ('C-9', 'Straße', '', '', '', '', '2026-11-24 00:00:00')"
        )
    )
    crm.write(text("INSERT INTO customer_words (customer_id, word) VALUES ('C-9', 'strasse')"))
    assert found(crm, "STRASSE") == ["C-9"]
    assert found(crm, "straße") == ["C-9"]


@pytest.mark.parametrize(
    ("name", "queries"),
    [
        ("José Ramírez", ["jose ramirez", "José", "JOSE\u0301", "RAMÍREZ"]),
        ("Jürgen Müller", ["Muller", "müller", "jurgen"]),
        ("Łukasz Żak", ["Lukasz", "łukasz", "zak"]),
        ("Siobhán O'Brien", ["Siobhan", "O'Brien", "o’brien siobhán"]),
        ("Søren Kjær", ["soren kjaer", "SØREN", "kjær"]),
        ("Đorđe Þórsdóttir", ["dorde", "thorsdottir", "Þórs"]),
        ("Cœur Weiß", ["coeur weiss", "WEISS", "cœur"]),
        ("Ayşe Yılmaz Işık", ["ayse yilmaz", "ISIK", "ışık"]),
        ("Nguyễn Thị Hương", ["nguyen thi huong", "nguyễn"]),
        ("Ἀθηνᾶ Παπαδοπούλου", ["Παπαδοπουλου", "αθηνα"]),
        ("Фёдор Чайковский", ["федор", "чайковский"]),
        ("がく かく", ["がく"]),
    ],
)
def test_accents_are_folded_in_what_is_stored_and_in_what_is_typed(
    database: Database, name: str, queries: list[str]
) -> None:
    customer = read_customer({"id": "C-9", "name": name}, "US")
    other = read_customer({"id": "C-8", "name": "Zoe かか"}, "US")
    seed(database, [customer, other], now=datetime(2026, 11, 24, tzinfo=UTC))
    assert [found(database, query) for query in queries] == [["C-9"]] * len(queries)


def test_a_customer_is_found_by_the_present_name(database: Database) -> None:
    ada = {"id": "C-9", "name": "Ada Lovelace"}
    for row in (ada, {**ada, "name": "Ada KING", "company": "Analytical Engines"}):
        seed(database, [read_customer(row, "US")], now=datetime(2026, 11, 24, tzinfo=UTC))
    words = database.read(select(WordRow.word).where(WordRow.customer_id == "C-9"))
    assert {row.word for row in words} == {"ada", "king", "analytical", "engines"}


def test_no_question_walks_a_whole_table(crm: Database) -> None:
    if not crm.is_sqlite:
        pytest.skip("PostgreSQL walks a table of fourteen rows, and is right")
    asked: list[tuple[str, tuple[object, ...]]] = []

    def listen(_connection: object, _cursor: object, sql: str, parameters: tuple[object, ...], *_rest: object) -> None:
        asked.append((sql, parameters))

    event.listen(crm.engine, "before_cursor_execute", listen)
    found(crm, "b")
    found(crm, "ada love")
    selects = [(sql, parameters) for sql, parameters in asked if sql.startswith("SELECT")]
    assert selects
    for sql, parameters in selects:
        with crm.engine.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).all()
        assert not [row for row in plan if str(row.detail).startswith("SCAN c")], sql
        # By kind alone it would be half of all identifiers.
        assert not [row for row in plan if str(row.detail).endswith("(kind=?)")], sql


@pytest.mark.parametrize("limit", [1, 3, 50])
def test_all_customers_come_page_by_page_in_the_order_of_their_ids(crm: Database, limit: int) -> None:
    listed: list[FoundCustomer] = []
    while page := customers_after(crm, listed[-1].id if listed else "", at_most=limit):
        listed += page
    ids = [one.id for one in listed]
    assert len(set(ids)) == len(ids) == crm.read(text("SELECT count(*) FROM customers"))[0][0]
    assert listed == list(customers(crm, ids))


def test_a_page_of_customers_is_answered_from_indexes(owned_database: Database) -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    rows = [{"id": f"C-{number:05}", "name": "", "updated_at": now} for number in range(4000)]
    owned_database.commit(lambda connection: connection.execute(insert(CustomerRow), rows))
    identifiers = [
        {"customer_id": f"C-{number:05}", "kind": "phone", "value": f"+1212555{number:04}", "as_written": ""}
        for number in range(4000)
    ]
    owned_database.commit(lambda connection: connection.execute(insert(IdentifierRow), identifiers))
    plans = plans_of(owned_database, lambda: customers_after(owned_database, "C-02000", at_most=50))
    assert len(plans) == 2
    assert re.search("pk_customers|sqlite_autoindex_customers", plans[0]), plans[0]
    assert "ix_identifiers_customer_id" in plans[1]
    assert not [plan for plan in plans if READS_A_TABLE.search(plan)], plans
