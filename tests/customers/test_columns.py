"""Columns of a table: our own names, those of known exports, and what the user says."""

from __future__ import annotations

import pytest

from enrich.customers.columns import Columns, HeaderError, made_id, parse_mapping, recognise
from enrich.customers.identifiers import unguarded


def targets(header: str, **mapping: str) -> list[str]:
    return list(recognise(header.split(","), mapping).targets)


def source_of(columns: Columns) -> str | None:
    return columns.source.name if columns.source else None


def test_our_own_names_need_no_remark() -> None:
    columns = recognise(["ID", "Name", "phones", "ids.account_number", "_remark", ""])
    assert columns.targets == ("id", "name", "phones", "ids.account_number", "_", "_")
    assert (source_of(columns), columns.remark) == (None, "")


@pytest.mark.parametrize(
    ("header", "source", "expected"),
    [
        ("Record ID,First Name,Last Name,Email", "HubSpot", "id first_name last_name emails"),
        ("Record ID - Contact,firstname,lastname,hs_additional_emails", "HubSpot", "id first_name last_name emails"),
        ("Contact ID,Full Name,Account Name,Mobile,Asst. Phone", "Salesforce", "id name company phones _"),
        ("Id,LastName,FirstName,OwnerId,MobilePhone,Fax", "Salesforce", "id last_name first_name _ phones _"),
        ("name,email,external_id,details,notes,phone", "Zendesk", "name emails ids.external_id notes notes phones"),
        ("User ID,User name,User email", "Zendesk", "id name emails"),
        ("Requester ID,Requester name,Requester email", "Zendesk", "id name emails"),
        ("Name,Account Name,Phone,Email,Contact Owner Alias", "Salesforce", "name company phones emails _"),
        (
            "Name,Given Name,E-mail 1 - Value,Phone 1 - Type,Phone 1 - Value",
            "Google Contacts",
            "name first_name emails _ phones",
        ),
        (
            "First Name,E-mail Address,Home Phone,Home Phone 2,Business Fax",
            "Outlook",
            "first_name emails phones phones _",
        ),
        ("Record Id,Contact Owner.id,Contact Owner,Last Name,Description", "Zoho CRM", "id _ owner last_name notes"),
        (
            "Person - ID,Person - Name,Person - Phone - Work,Person - Organization",
            "Pipedrive",
            "id name phones company",
        ),
        ("Id,Full name,E-Mail,Telephone,Organisation", None, "id name emails phones company"),
    ],
)
def test_known_columns_are_read(header: str, source: str | None, expected: str) -> None:
    columns = recognise(header.split(","))
    assert (source_of(columns), " ".join(columns.targets)) == (source, expected)
    assert "--map" in columns.remark


def test_a_remark_names_what_was_read_and_what_was_not() -> None:
    assert recognise(["Record ID", "First Name", "Last Name", "Email", "Create Date"]).remark == (
        "HubSpot export: read Record ID as id, First Name + Last Name as name, Email as emails;"
        " not loaded: Create Date (--map 'Column=field' decides otherwise)"
    )


def test_all_unknown_columns_are_told_at_once_with_what_to_do() -> None:
    with pytest.raises(HeaderError) as error:
        recognise(["id", "name", "Birthday", "Shoe size"])
    message = str(error.value)
    assert message.startswith("columns 'Birthday', 'Shoe size' are not known; use id, name, company")
    assert "_remark" in message
    assert "--map 'Column=field'" in message


def test_what_the_user_says_counts() -> None:
    header = "Record ID,Email,Priority,Private phone,Name"
    assert targets(header, Priority="tier", **{"private PHONE": "phones", "Email": "_"}) == [
        "id",
        "_",
        "tier",
        "phones",
        "name",
    ]
    with pytest.raises(HeaderError, match="no column 'Telefon'; the columns are 'id', 'name'"):
        recognise(["id", "name"], {"Telefon": "phones"})


def test_a_mapping_is_parsed() -> None:
    assert parse_mapping(["A=B=phones", "Kunden-Nr. = ids.account_number", "x=_later"]) == {
        "A=B": "phones",
        "Kunden-Nr.": "ids.account_number",
        "x": "_",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [("Telefon", "'Column=field'"), ("=phones", "'Column=field'"), ("Telefon=phone", "did you mean phones")],
)
def test_a_wrong_mapping_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_mapping([text])


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('="007"', "007"),
        ('="say ""hi"""', 'say "hi"'),
        ("'007", "007"),
        ("'007'", "007"),
        ("'+49 30 1", "+49 30 1"),
        ("'=SUM(A1)", "=SUM(A1)"),
        ("'t Hooft", "'t Hooft"),
        ("=A1", "=A1"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_guards_against_spreadsheets_are_taken_away(cell: str, value: str) -> None:
    assert unguarded(cell) == value


def test_a_row_becomes_an_object_of_the_json_format() -> None:
    columns = recognise(
        ["Record ID", "First Name", "Last Name", "Email", "Phone Number", "Mobile", "Company", "Company Name"]
    )
    raw = columns.to_raw(["7", "Ada", "Example", "a@example.com;b@example.com", "+1 ::: +2", "+3|+4", "", "Acme"])
    assert raw == {
        "id": "7",
        "name": "Ada Example",
        "emails": ["a@example.com", "b@example.com"],
        "phones": ["+1", "+2", "+3", "+4"],
        "company": "Acme",
    }
    assert columns.to_raw(["7"])["name"] == ""


def test_a_fax_of_google_contacts_is_left_out() -> None:
    columns = recognise(["Name", "Phone 1 - Type", "Phone 1 - Value", "Phone 2 - Label", "Phone 2 - Value"])
    assert columns.to_raw(["Ada", "Work Fax", "+1", "Mobile", "+2"])["phones"] == ["+2"]


def test_a_made_id_stays_with_the_first_address_and_shows_nothing_of_it() -> None:
    ada = {"name": "Ada", "emails": ["Ada@example.com"], "phones": ["+1 415 555 0100"]}
    assert made_id(ada) == made_id({"name": "A. Example", "emails": ["ada@example.com", "b@example.com"]})
    assert made_id(ada) != made_id(ada | {"emails": []})
    assert made_id({"phones": ["+1 (415) 555-0100"]}) == made_id({"phones": ["+14155550100"]})
    assert made_id({"name": "", "emails": [], "phones": []}) == ""
