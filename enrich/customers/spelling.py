"""Spellings of a text: without what readers do not see, in one width, and in one case. Pure."""

from __future__ import annotations

import unicodedata


def visible(text: str) -> str:
    """Return the text in NFKC, without invisible characters (direction marks, zero-width spaces, BOM) and outer spaces.

    Copied phone numbers are often enclosed in U+202A and U+202C, or contain a no-break space.
    """
    if text.isascii():  # has no invisible characters, and NFKC does not change it
        return " ".join(text.split())
    shown = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", shown).split())


def folded(text: str) -> str:
    """Return Unicode's NFKC case folding of the text (chapter 3.13, D146), spaces collapsed."""
    text = visible(text)
    if text.isascii():
        return text.casefold()
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", text).casefold()).casefold()
    return " ".join(unicodedata.normalize("NFKC", text).split())


def lowered(text: str) -> str:
    """Return the text in lower case, spaces collapsed. Unlike case folding, this keeps ß and ss apart."""
    text = visible(text)
    if text.isascii():
        return text.lower()
    return visible(unicodedata.normalize("NFKC", text.lower()).lower())


def ascii_digits(text: str) -> str:
    """Return the text with the decimal digits of all scripts as 0 to 9."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in text)


def plain_word(text: str) -> str:
    """Return the text's letters and digits, case-folded: "Web-Chat", "web_chat" and "ｗｅｂ chat" are equal."""
    return "".join(filter(str.isalnum, folded(text)))


def is_storable(text: str) -> bool:
    """Return False for text that PostgreSQL cannot store: with lone surrogates, which JSON allows, or NUL."""
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
