"""Folding of accents for search: "José", "Łukasz" and "Sørensen" become "jose", "lukasz" and "sorensen". Pure.

People type names on the keyboard they have, so stored words and typed words are both folded. Only the marks of Latin,
Greek and Cyrillic letters are taken away (Unicode's block "Combining Diacritical Marks"): in other scripts a mark is a
vowel or changes the consonant.
"""

from __future__ import annotations

import re
import unicodedata

# Letters that Unicode does not decompose into a base letter and a mark, as they are written without them.
_LETTERS = str.maketrans(
    {
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "ß": "ss",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ı": "i",
        "ħ": "h",
        "ŧ": "t",
        "ŋ": "n",
        "ĸ": "k",
        "ƀ": "b",
        "ƶ": "z",
        "ǥ": "g",
        "ɓ": "b",
        "ɖ": "d",
        "ɗ": "d",
        "ƙ": "k",
        "ə": "e",
        "ǝ": "e",
        "ɛ": "e",
        "ɔ": "o",
        "ƴ": "y",
    }
)
_MARKS = re.compile("[\u0300-\u036f]+")


def without_accents(text: str) -> str:
    """Return this case-folded text without accents, in NFC."""
    if text.isascii():
        return text
    bare = _MARKS.sub("", unicodedata.normalize("NFD", text).translate(_LETTERS))
    return unicodedata.normalize("NFC", bare)
