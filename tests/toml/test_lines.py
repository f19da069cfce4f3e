"""The line of a TOML text that a value came from."""

from __future__ import annotations

import tomllib

from enrich.toml.lines import lines_of, nearest

TEXT = '''# a comment = "not a key"
[workspace]
name = "Support" # with [brackets] behind

[[queues]]
name = "A"
workers = """
name = "not a key"
[[queues]]
"""
list = [
  "x", # ]
  [1, 2],
  "]",
]
[[queues]]
"quoted name" = 'it''s'.length = 3
'''


def test_every_table_and_key_has_its_line() -> None:
    text = TEXT.replace("'it''s'.length = 3", "'C:\\'")
    tomllib.loads(text)
    assert lines_of(text) == {
        ("workspace",): 2,
        ("workspace", "name"): 3,
        ("queues",): 5,
        ("queues", 0): 5,
        ("queues", 0, "name"): 6,
        ("queues", 0, "workers"): 7,
        ("queues", 0, "list"): 11,
        ("queues", 1): 16,
        ("queues", 1, "quoted name"): 17,
    }


def test_tables_of_tables_count_within_their_own() -> None:
    text = "[[a]]\n[[a.b]]\nx = 1\n[[a.b]]\n[a.b.c]\ny.z = 2\n[[a]]\n[[a.b]]\nx = 3\n"
    tomllib.loads(text)
    lines = lines_of(text)
    assert lines["a", 0, "b", 0, "x"] == 3
    assert lines["a", 0, "b", 1, "c", "y", "z"] == 6
    assert lines["a", 1, "b", 0, "x"] == 9


def test_what_stands_inside_an_inline_table_has_the_line_of_the_closest_key() -> None:
    lines = lines_of("[a]\nb = { c = 1 }\n")
    assert nearest(lines, ("a", "b", "c")) == 2
    assert nearest(lines, ("z",)) is None
