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


HALVES = ("\ud83d", "\ude00")


def _spellings(character: str) -> st.SearchStrategy[str]:
    """Return the ways to write this character in a JSON string; half a pair has no form in UTF-8 but an escape."""
    units = character.encode("utf-16-be", "surrogatepass")
    escapes = [f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)]
    lower = "".join(escapes)
    upper = "".join(escape[:2] + escape[2:].upper() for escape in escapes)
    raw = lower if character in HALVES else json.dumps(character, ensure_ascii=False)[1:-1]
    return st.sampled_from([lower, upper, raw])


def spelled(characters: st.SearchStrategy[str], *, max_size: int = 12) -> st.SearchStrategy[str]:
    """Return JSON strings in which each of these characters is written in one of its ways."""
    return st.lists(characters.flatmap(_spellings), max_size=max_size).map(lambda parts: f'"{"".join(parts)}"')


# What decides whether an escape may be replaced: runs of backslashes before `u`, both halves of a pair, alone and in
# the wrong order, controls, separators that JavaScript takes for line ends, noncharacters.
awkward = st.sampled_from(
    [*"éÿ漢😀𝄞", *'\\"/u0e9', *"\0\x1f\x7f\x85\xa0\u2028\u2029\ufeff\ufdd0\uffff\U0001fffe", *HALVES]
)
spelled_strings = spelled(awkward | st.characters(exclude_categories=["Cs"]))


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
