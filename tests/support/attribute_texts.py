"""Task attributes as texts: a block of ours, and strategies that write JSON in every way it may be written."""

from __future__ import annotations

import json

from hypothesis import strategies as st

BLOCK = {"match": "matched", "customer_id": "C-1001"}
SMALL = {"match": "matched"}
BLOCK_TEXT = '{"match":"matched","customer_id":"C-1001"}'

spaces = st.text(" \t\n\r", max_size=2)
literals = st.sampled_from(["null", "true", "false", "0", "-0", "1.0", "1e400", "-1.5E-7", "9" * 30, "0." + "7" * 25])
strings = st.one_of(
    st.text(max_size=6).map(json.dumps),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=6).map(
        lambda s: json.dumps(s, ensure_ascii=False)
    ),
    st.sampled_from([r'"\ud800"', r'"\/"', r'"\"\\"', '"crm"', r'"c\u0072m"', '"a,b}"', '"{"']),
)


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(spaces, strings, spaces, spaces, values, spaces).map(
        lambda p: f"{p[0]}{p[1]}{p[2]}:{p[3]}{p[4]}{p[5]}"
    )
    return st.one_of(
        spaces.map(lambda s: f"{{{s}}}"),
        st.lists(member, min_size=1, max_size=5).map(lambda m: "{" + ",".join(m) + "}"),
    )


def arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=4).map(lambda items: "[" + ", ".join(items) + "]")


json_values = st.recursive(literals | strings, lambda inner: objects(inner) | arrays(inner), max_leaves=12)
attribute_texts = st.tuples(spaces, objects(json_values), spaces).map("".join)
