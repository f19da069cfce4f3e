import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.customers.fixture_rows import BadRow, CustomerFixture, IncompleteRow
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


Row = CustomerFixture | BadRow | IncompleteRow


def read(path: Path, **options: Any) -> list[Row]:
    return list(read_fixtures(path, region="US", **options))


def good(rows: list[Row]) -> list[CustomerFixture]:
    return [row for row in rows if isinstance(row, CustomerFixture)]


def told(rows: list[Row]) -> list[str]:
    return [str(row) for row in rows if not isinstance(row, CustomerFixture)]


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


def test_the_customers_before_damaged_json_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "c.json", '{"customers": [\n {"id": "C-1", "name": "A"},\n {"id": "C-2" "name": "B"}]}')
    rows = read_fixtures(path, region="US")
    first = next(rows)
    assert isinstance(first, CustomerFixture)
    assert first.id == "C-1"
    with pytest.raises(FixtureFileError, match=r"c\.json, line 3, column 15: Expecting ',' delimiter"):
        next(rows)


def test_a_bad_row_of_a_csv_file_is_told_with_the_line_on_which_it_begins(tmp_path: Path) -> None:
    content = (
        b'id,name,phones\nC-1,"A\nda",\nC-2,Bo,555\nC-3,Cy\nC-4,\x81\x8d,\nC-5,Di,\nC-6,"Eve"x,\nC-7,Flo,\nC-8,"Gil,\n'
    )
    rows = read(write(tmp_path, "c.csv", content))
    assert [row.id for row in good(rows)] == ["C-1", "C-2", "C-3", "C-5", "C-7"]
    wrong_mark = "a quotation mark is not closed, or not doubled within its cell; the row was not loaded"
    not_a_number = "phones[0]: not a possible phone number; write it with + and country code"
    assert told(rows) == [
        f"line 4, C-2: {not_a_number} (the rest of the row is loaded)",
        "line 6, C-4: name: contains bytes that are not text; save the file as UTF-8",
        f"line 8, C-6: {wrong_mark}",
        f"line 10, C-8: {wrong_mark}",
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.dat", "", r"must end in \.json"),
        ("c.json", "", "line 1, column 1"),
        ("c.json", '{"customers": [\n  {"id": }\n]}', "line 2, column 10"),
        ("c.json", b'[\n"\xff"]', "line 2: not UTF-8"),
        ("c.json", '"customers"', "a list of customers"),
        ("c.json", '{"customers": {}}', "a list of customers"),
        ("c.json", '{"people": []}', "a list of customers"),
        ("c.json", "[" * 100_000, "RecursionError"),
        ("c.csv", "", "`id` and `name`"),
        ("c.csv", "id,name,name\n", "each column once"),
        ("c.csv", "id,phones,name,phone of,Birthday\n", "columns 'phone of', 'Birthday' are not known; use id, name"),
        ("c.csv", "id,name,phonez\n", "did you mean phones.*--map 'Column=field'.*`_`"),
        ("c.csv", "id,tier\n", "`id` and `name`"),
        ("c.csv", "name,phones\n", "--map 'Column=id'"),
        ("c.csv", '"id', "line 1: not CSV"),
        ("c.csv", "id,name\n".encode("utf-32"), "UTF-32; save the file as UTF-8"),
        ("c.csv", b"id,name\n\0\1\2\3\0", "a binary file"),
        ("c.csv", b"\x1f\x8b\x08\x00", "a compressed file; unpack it"),
        ("c.xlsx", b"PK\x03\x04 half of it", "damaged or incomplete"),
        ("c.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"old Excel file \(\.xls\)"),
        ("c.xls", "<html><table>", "HTML or XML"),
        ("c.csv", b"%PDF-1.7", "a PDF"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(FixtureFileError, match=message):
        read(write(tmp_path, name, content))


def test_a_file_of_another_archive_is_one_clear_error(tmp_path: Path) -> None:
    for name, message in (("content.xml", "another format than .xlsx"), ("customers.csv", "a compressed file")):
        with zipfile.ZipFile(tmp_path / "c.csv", "w") as archive:
            archive.writestr(name, "")
        with pytest.raises(FixtureFileError, match=message):
            read(tmp_path / "c.csv")


TABLE = "id,name,phones\nC-1,Zoë Łukasz,+1 415 555 0100\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_a_table_is_read_in_its_encoding_with_its_delimiter_and_line_ends(
    tmp_path: Path, encoding: str, end: str, delimiter: str
) -> None:
    content = TABLE.replace(",", delimiter).replace("\n", end).encode(encoding)
    remarks: list[str] = []
    (customer,) = read(write(tmp_path, "c.csv", content), remark=remarks.append)
    assert isinstance(customer, CustomerFixture)
    assert (customer.id, customer.name) == ("C-1", "Zoë Łukasz")
    assert remarks == []


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_recognised_in_every_script(tmp_path: Path, encoding: str) -> None:
    content = "id,name\n" + "C-1,山田太郎の会社の人と友達とその家族と近所の人々\n"
    (customer,) = good(read(write(tmp_path, "c.csv", content.encode(encoding))))
    assert customer.name.startswith("山田太郎")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize("name", ["c.json", "c.jsonl"])
def test_json_may_be_utf_16(tmp_path: Path, name: str, encoding: str) -> None:
    content = json.dumps(ADA) if name == "c.jsonl" else json.dumps([ADA])
    assert read(write(tmp_path, name, content.encode(encoding))) == [ADA_READ]


def test_lines_that_are_not_utf_8_are_read_as_windows_1252_and_named(tmp_path: Path) -> None:
    """Line by line, since files of two encodings are put together, too."""
    lines = [b"id,name", "C-1,Zoë".encode("cp1252"), "C-2,Łukasz".encode(), b"C-3,Bob", "C-4,€ Ço".encode("cp1252")]
    content = b"\n".join(lines)
    remarks: list[str] = []
    rows = good(read(write(tmp_path, "c.csv", content), remark=remarks.append))
    assert [row.name for row in rows] == ["Zoë", "Łukasz", "Bob", "€ Ço"]
    assert remarks == ["not UTF-8 in lines 2, 5: read as Windows-1252 (cp1252); name another encoding with --encoding"]


def test_many_lines_that_are_not_utf_8_are_counted(tmp_path: Path) -> None:
    content = "id,name\n" + "".join(f"C-{number},Zoë\n" for number in range(100))
    remarks: list[str] = []
    assert len(read(write(tmp_path, "c.csv", content.encode("cp1252")), remark=remarks.append)) == 100
    assert remarks[0].startswith("not UTF-8 in lines 2, 3, 4, 5, 6 and 95 more:")


def test_another_encoding_can_be_named(tmp_path: Path) -> None:
    (customer,) = good(read(write(tmp_path, "c.csv", TABLE.encode("iso8859_16", "replace")), encoding="iso8859_16"))
    assert customer.name == "Zoë Łukasz"


def test_a_line_names_the_separator(tmp_path: Path) -> None:
    (customer,) = good(read(write(tmp_path, "c.csv", "sep=;\r\n\r\nid;name\r\nC-1;Example, Ada\r\n")))
    assert customer.name == "Example, Ada"


def test_missing_cells_are_empty_and_surplus_ones_are_told(tmp_path: Path) -> None:
    content = (
        "id,name,phones,company\nC-1,Ada\nC-2,Bob,+1 415 555 0100,Acme,,\nC-3,Cy,,Acme,gold\n"
        "C-4,Example,Di,+1 415 555 0101,Acme\n"
    )
    rows = read(write(tmp_path, "c.csv", content))
    assert [(row.id, row.texts) for row in good(rows)] == [
        ("C-1", {"company": ""}),
        ("C-2", {"company": "Acme"}),
        ("C-3", {"company": "Acme"}),
    ]
    surplus = "more cells than the header has columns; look for a separator within a cell"
    number = "phones[0]: not a possible phone number; write it with + and country code"
    assert told(rows) == [
        f"line 4, C-3: 'gold': {surplus} (the rest of the row is loaded)",
        f"line 5, C-4: {number}; 'Acme': {surplus}",
    ]


def test_a_report_ends_where_its_footer_begins(tmp_path: Path) -> None:
    content = 'Contact ID,Last Name,Account Name\nS-1,Example,Acme\n\n"Contacts"\n"Copyright"\nS-2,Beispiel,\n'
    remarks: list[str] = []
    rows = read(write(tmp_path, "c.csv", content), remark=remarks.append)
    assert [row.id for row in good(rows)] == ["S-1", "S-2"]
    assert told(rows) == []
    assert remarks[1] == "left out the last 2 lines, which are the report's footer"


def test_a_column_holds_what_the_user_says(tmp_path: Path) -> None:
    content = "Nummer,Vorname,Nachname,Telefon,Geburtstag\n7,Ada,Beispiel,+1 415 555 0100,1990\n"
    mapping = {"nummer": "id", "Vorname": "first_name", "Nachname": "last_name", "Telefon": "phones", "Geburtstag": "_"}
    (customer,) = good(read(write(tmp_path, "c.csv", content), mapping=mapping))
    assert (customer.id, customer.name) == ("7", "Ada Beispiel")
    assert Identifier("phone", "+14155550100") in customer.identifiers


def test_a_second_row_with_the_same_id_is_not_loaded(tmp_path: Path) -> None:
    rows = read(write(tmp_path, "c.csv", "id,name,phones\nC-1,Ada,\nC-1,Bob,12\n"))
    assert [row.name for row in good(rows)] == ["Ada"]
    assert told(rows) == ["line 3, C-1: id: already in line 2; merge the two rows"]


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FixtureFileError, match=r"nowhere\.json: No such file"):
        read(tmp_path / "nowhere.json")


def test_the_built_in_customers_are_all_good_and_can_be_told_apart() -> None:
    rows = read(builtin_path())
    assert [row for row in rows if isinstance(row, BadRow)] == []
    assert len(rows) == 14


@settings(deadline=None)
@given(
    st.binary(max_size=200) | st.text(st.sampled_from('id,name;\t"\n\r C1|=_'), max_size=80).map(str.encode),
    st.sampled_from(["c.csv", "c.json", "c.jsonl", "c.vcf"]),
    st.sampled_from([b"", b"id,name,phones\n", b"BEGIN:VCARD\n", b"\xff\xfe", b"PK\x03\x04"]),
)
def test_any_file_is_read_or_is_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str, start: bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp(), name, start + content)
    try:
        texts = told(read(path))
    except FixtureFileError as error:
        texts = [str(error)]
    for text in texts:
        text.encode()
