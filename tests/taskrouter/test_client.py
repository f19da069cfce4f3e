"""The requests to TaskRouter, as far as they can be looked at without one; the others are in `tests/scenarios/`."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.taskrouter.client import form_body

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.characters(max_codepoint=127))


@given(st.lists(st.tuples(TEXTS, TEXTS)))
def test_a_form_is_what_the_standard_library_makes_of_it(fields: list[tuple[str, str]]) -> None:
    assert form_body(fields) == urlencode(fields).encode()


def test_attributes_come_back_as_they_were() -> None:
    attributes = json.dumps({"name": "Zoë %41+%2B", "a": [1e400, None], "": "&=?#\n\t\x7f~"}, ensure_ascii=False)
    body = form_body({"Attributes": attributes})
    assert parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True) == [("Attributes", attributes)]


def test_a_lone_surrogate_has_no_form() -> None:
    with pytest.raises(UnicodeEncodeError):
        form_body({"Attributes": "\ud800"})
