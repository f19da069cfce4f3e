"""Formatting of values as text: moments, milliseconds, SIDs and untrusted strings."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from markupsafe import Markup, escape

# Controls, marks that turn the reading direction round, invisible ones (a whole alphabet of tags from U+E0000 on), and
# halves of characters, which no encoding can hold. The joiners U+200C and U+200D stay: emoji and Persian are written
# with them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
# What TaskRouter calls a SID, and whatever else can stand in a path as it is.
_PLAIN_SID = re.compile(r"[A-Za-z0-9_-]{1,34}")


def visible(text: str) -> Markup:
    """Return the text escaped, isolated in its direction, with every invisible character shown by its number."""
    shown = _UNSEEN.sub(_by_number, str(escape(text)))
    return Markup(f"<bdi>{shown}</bdi>")  # noqa: S704 - escaped in the line above


def _by_number(match: re.Match[str]) -> str:
    return f'<span class="unseen">U+{ord(match.group()):04X}</span>'


def as_text(text: str) -> str:
    """Return the text for places without markup (a title, an attribute): invisible characters become U+FFFD."""
    return _UNSEEN.sub("\ufffd", text)


def ago(then: datetime, now: datetime) -> str:
    """Return the time since then in words, or the date where that is clearer; `static/enrich.js` has the same rule."""
    seconds = (now - then).total_seconds()
    if seconds < 10:
        return "just now"
    if seconds < 60:
        return f"{int(seconds / 10)}0 s ago"
    if seconds < 3600:
        return f"{int(seconds / 60)} min ago"
    if seconds < 86400:
        return f"{int(seconds / 3600)} h ago"
    return f"{then.astimezone(UTC):%-d %b, %H:%M}"


def until(then: datetime, now: datetime) -> str:
    """Return the time until then in words: "in 30 s", "now"."""
    seconds = (then - now).total_seconds()
    if seconds < 1:
        return "now"
    if seconds < 60:
        return f"in {int(seconds)} s"
    return f"in {int(seconds / 60)} min" if seconds < 3600 else f"in {int(seconds / 3600)} h"


def exact(moment: datetime) -> str:
    """Return the moment to the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(moment: datetime) -> str:
    """Return the moment in ISO 8601, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ms(milliseconds: float) -> str:
    """Milliseconds as one reads them: "0.4 ms", "41 ms", "1,240 ms"."""
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:,.0f} ms"


def duration(seconds: float) -> str:
    """Return a duration as one reads it: "0.4 s", "40 s", "3 min", "2 h 5 min", "3 days"."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 48 * 60 else f"{minutes // 1440} days"


def short_sid(sid: str) -> str:
    """A SID by its kind and its end: "WT…4f2a"."""
    return f"{sid[:2]}…{sid[-4:]}" if len(sid) > 12 else sid


def is_plain_sid(sid: str | None) -> bool:
    """Return whether this can stand in an address unchanged; signed text may still hold anything."""
    return bool(sid and _PLAIN_SID.fullmatch(sid))


def form_fields(raw_form: str) -> tuple[tuple[str, str], ...]:
    """Return the fields of a form in order; one nameless field with the whole body if it is not a form."""
    try:
        return tuple(parse_qsl(raw_form, keep_blank_values=True, strict_parsing=True, max_num_fields=200))
    except ValueError:
        return (("", raw_form),)
