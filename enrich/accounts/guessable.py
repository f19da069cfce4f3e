"""Passwords that are guessed first: known ones, and those that are mostly a name, a row of keys or a repetition.

A table and three rules, instead of a library such as zxcvbn: that is pure Python and needs up to 20 s for one password
made for it, in a process that answers callbacks, and lets a fifth of the known passwords of 12 characters pass.

Pure, but for the table, which is read once.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path

# So many characters must not follow from the others, nor from whose password it is.
MIN_UNPREDICTABLE = 8
_SERVICE = ("taskrouter", "enrich", "twilio", "flex")
# Of a name or an address, shorter parts prove nothing.
_MIN_PART_LENGTH = 4
_ROWS = (
    string.ascii_lowercase,
    "1234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
)
# Two characters that stand side by side in a row, and the direction.
_STEPS = {
    step: (row, forwards)
    for row in _ROWS
    for one, other in pairwise(row)
    for step, forwards in ((one + other, True), (other + one, False))
}
_AROUND_WORDS = string.digits + string.punctuation + " "


def is_known(password: str) -> bool:
    """Return whether the password is a known one, in any case of letters, or with digits and punctuation around it."""
    written = password.lower()
    return written in _known() or written.strip(_AROUND_WORDS) in _known()


def is_predictable(password: str, about: Iterable[str] = ()) -> bool:
    """Return whether most of the password follows from the rest. about: e-mail and name of whom it belongs to."""
    rest = password.lower()
    for word in sorted(_words(about), key=len, reverse=True):
        rest = rest.replace(word, "")
    # The shortest block that makes up the whole when repeated.
    rest = rest[: (rest + rest).find(rest, 1)] if rest else ""
    return _unpredictable_length(rest) < MIN_UNPREDICTABLE


def _words(about: Iterable[str]) -> set[str]:
    """Return the service's names, and these texts with their parts."""
    texts = [text.lower() for text in about]
    parts = {part for text in texts for part in (text, *re.split(r"[\W_]+", text), text.partition("@")[0])}
    return {*_SERVICE, *(part for part in parts if len(part) >= _MIN_PART_LENGTH)}


def _unpredictable_length(text: str) -> int:
    """Return the number of characters that do not continue a repetition or a row as the two before them do."""
    count, step_before = min(1, len(text)), None
    for one, other in pairwise(text):
        step = (one, None) if one == other else _STEPS.get(one + other)
        count += step is None or step != step_before
        step_before = step
    return count


@cache
def _known() -> frozenset[str]:
    lines = Path(__file__).with_name("known_passwords.txt").read_text(encoding="ascii").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))
