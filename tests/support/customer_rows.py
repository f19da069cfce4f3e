"""Rows of customer files for property tests: few ids and values, so that they meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
CASES: st.SearchStrategy[dict[str, str]] = st.fixed_dictionaries({"id": TEXTS, "status": TEXTS, "subject": TEXTS})
ROWS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"id": st.sampled_from(["C-1", "C-2", "c-1"]), "name": TEXTS},
    optional={
        "company": TEXTS,
        "phones": st.lists(st.sampled_from(["4155550100", "+1 415 555 0100", "415-555-0100 x12", "+14155550101"])),
        "emails": st.lists(st.sampled_from(["ada@example.com", "ADA@example.com", "tom@example.com"])),
        "ids": st.dictionaries(
            st.sampled_from(["account_number", "client", "customer_id"]), TEXTS | st.lists(TEXTS, max_size=2)
        ),
        "notes": st.lists(TEXTS, max_size=3),
        "cases": st.lists(
            CASES,
            max_size=3,
            unique_by=lambda case: case["id"].strip(),
        ),
    },
)
