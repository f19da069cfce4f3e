import json
from pathlib import Path

import pytest

from enrich.customers.fixture_rows import BadRow, CustomerFixture
from enrich.customers.fixtures import builtin_path, read_fixtures
from enrich.customers.identifiers import Identifier
from enrich.domain.matches import Case
from enrich.errors import FixtureFileError
from tests.support.customers import ADA

ADA_READ = CustomerFixture(
    id="C-1001",
    name="Ada Lovelace",
    texts={"company": "Analytical Engines", "tier": "gold", "language": "en", "owner": "dana@example.com"},
    identifiers={
        Identifier("customer_id", "c-1001"): "C-1001",
        Identifier("phone", "+14155550100"): "+1 415 555 0100",
        Identifier("email", "ada@example.com"): "ada@example.com",
        Identifier("account_number", "a-17"): "A-17",
    },
    identifier_fields=frozenset({"phones", "emails", "ids"}),
    notes=("Prefers mornings",),
    cases=(Case("K-9", "Broken gear", "open", "2026-11-02"),),
)


def read(path: Path) -> list[CustomerFixture | BadRow]:
    return list(read_fixtures(path, region="US"))


def write(directory: Path, name: str, content: str | bytes) -> Path:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "with byte-order mark"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.json", json.dumps({"_made_by": {"x": []}, "customers": [ADA]}, indent=2)),
        ("c.json", json.dumps([ADA])),
        ("c.jsonl", json.dumps(ADA) + "\n\n"),
        ("C.NDJSON", json.dumps(ADA)),
    ],
)
def test_the_forms_of_json_mean_the_same(tmp_path: Path, name: str, content: str, mark: bytes) -> None:
    assert read(write(tmp_path, name, mark + content.encode())) == [ADA_READ]


def test_csv_means_the_same_where_it_has_a_column(tmp_path: Path) -> None:
    content = (
        "\ufeffID,Name,company,phones,emails,notes,ids.account_number,_remark\r\n"
        'C-1,"Lovelace, Ada",,+1 415 555 0100|+1 415 555 0101,ada@example.com,'
        '"Mornings; not late|Two\nlines",A-17,x\r\n'
        ",,,,,,,\r\n"
        "C-2,Grace,Navy,,,,,\r\n"
    )
    ada, grace = read(write(tmp_path, "c.csv", content))
    assert isinstance(ada, CustomerFixture)
    assert (ada.name, ada.texts, ada.cases) == ("Lovelace, Ada", {"company": ""}, None)
    assert ada.notes == ("Mornings; not late", "Two\nlines")
    assert [(one.kind, one.value) for one in ada.identifiers] == [
        ("customer_id", "c-1"),
        ("phone", "+14155550100"),
        ("phone", "+14155550101"),
        ("email", "ada@example.com"),
        ("account_number", "a-17"),
    ]
    assert isinstance(grace, CustomerFixture)
    assert (grace.texts, grace.notes) == ({"company": "Navy"}, ())


def test_a_bad_row_is_told_with_its_line_and_the_others_load(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "c.jsonl",
        b'{"id": "C-1", "name": "Ada"}\n{"id": "C-2"\n[]\n{"id": "C-3", "name": "\xff"}\n{"id": "C-4"}\n'
        b'{"id": "C-1", "name": "Ada"}\n{"id": "C-5", "name": "Tom"}' + b"\n" + b"[" * 100_000,
    )
    rows = read(path)
    assert [row.id for row in rows if isinstance(row, CustomerFixture)] == ["C-1", "C-5"]
    assert [str(row) for row in rows if isinstance(row, BadRow)] == [
        "line 2: not JSON, column 13: Expecting ',' delimiter",
        "line 3: an object with id and name is expected, not a list",
        "line 4: not UTF-8; save the file as UTF-8",
        "line 5, C-4: name: missing; fill it in",
        "line 6, C-1: id: already in line 1; merge the two rows",
        "line 8: not JSON of a customer (RecursionError)",
    ]


def test_a_bad_row_of_a_json_file_is_told_with_line_and_index(tmp_path: Path) -> None:
    path = write(
        tmp_path, "c.json", '{"version": [1, {}],\n "customers": [\n {"id": "C-1", "name": "A"},\n\n {"id": 7}\n]}'
    )
    assert [str(row) for row in read(path)[1:]] == ["line 5, customers[1], 7: name: missing; fill it in"]


def test_a_bad_row_of_a_csv_file_is_told_with_the_line_on_which_it_begins(tmp_path: Path) -> None:
    content = (
        b'id,name,phones\nC-1,"A\nda",\nC-2,Bo,555\nC-3,Cy\nC-4,\xff\xfe,\nC-5,Di,\nC-6,"Eve"x,\nC-7,Flo,\nC-8,"Gil,\n'
    )
    rows = read(write(tmp_path, "c.csv", content))
    assert [row.id for row in rows if isinstance(row, CustomerFixture)] == ["C-1", "C-5", "C-7"]
    bad = [str(row) for row in rows if isinstance(row, BadRow)]
    assert bad[:3] == [
        "line 4, C-2: phones[0]: not a possible phone number; write it with + and country code",
        "line 5: 2 cells, but the header has 3 columns",
        "line 6, C-4: name: contains bytes that are not text; save the file as UTF-8",
    ]
    assert [one.partition(" (")[0] for one in bad[3:]] == ["line 8: not CSV", "line 10: not CSV"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.txt", "", r"must end in \.json"),
        ("c.json", "", "line 1, column 1"),
        ("c.json", '{"customers": [\n  {"id": }\n]}', "line 2, column 10"),
        ("c.json", b'[\n"\xff"]', "line 2: not UTF-8"),
        ("c.json", '"customers"', "a list of customers"),
        ("c.json", '{"customers": {}}', "a list of customers"),
        ("c.json", '{"people": []}', "a list of customers"),
        ("c.json", "[" * 100_000, "RecursionError"),
        ("c.csv", "", "`id` and `name`"),
        ("c.csv", "id,name,name\n", "each column once"),
        ("c.csv", "id,name,phone\n", "did you mean phones"),
        ("c.csv", "id;name\n", "commas between columns"),
        ("c.csv", '"id', "line 1: not CSV"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(FixtureFileError, match=message):
        read(write(tmp_path, name, content))


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FixtureFileError, match=r"nowhere\.json: No such file"):
        read(tmp_path / "nowhere.json")


def test_the_built_in_customers_are_all_good_and_can_be_told_apart() -> None:
    rows = read(builtin_path())
    assert [row for row in rows if isinstance(row, BadRow)] == []
    assert len(rows) == 14
