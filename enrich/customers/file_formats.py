"""File formats of customers, recognised by content: text in its encoding, workbooks, and files of neither kind.

Text is UTF-8 or UTF-16, with or without byte-order mark. A line of a table or vCard that is not UTF-8 is read as
Windows-1252 (cp1252), the encoding in which spreadsheets and Outlook on Windows save "CSV"; `TextLines.remark` says
which lines these were. Files are read in blocks, never as a whole.
"""

from __future__ import annotations

import codecs
import enum
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from enrich.errors import FixtureFileError

WINDOWS = "cp1252"
_BLOCK = 1 << 16
_REMARKED_LINES = 5


class FileFormat(enum.Enum):
    TEXT = "text"
    VCARD = "vCard"
    WORKBOOK = "workbook"


@dataclass(frozen=True, slots=True)
class Recognised:
    """The format of a file. encoding: utf-8, utf-16-le or utf-16-be; of text only. mark: length of its BOM in bytes."""

    format: FileFormat
    encoding: str = "utf-8"
    mark: int = 0


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAVE_AS = "save it as .xlsx, or as CSV in UTF-8"
_UNPACK = "a compressed file; unpack it, and load what is in it"
# First bytes of formats that people send instead of a table, by https://en.wikipedia.org/wiki/List_of_file_signatures.
_SIGNATURES = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"an old Excel file (.xls), or one with a password; {_SAVE_AS}"),
    (b"\x1f\x8b", _UNPACK),
    (b"BZh", _UNPACK),
    (b"\xfd7zXZ\x00", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", _UNPACK),
    (b"Rar!\x1a\x07", _UNPACK),
    (b"\x28\xb5\x2f\xfd", _UNPACK),
    (b"%PDF-", f"a PDF; export the table instead, and {_SAVE_AS}"),
    (b"{\\rtf", f"a text document (RTF); {_SAVE_AS}"),
    (b"SQLite format 3\x00", "an SQLite database; export its table as CSV"),
    (b"\x00\x00\xfe\xff", "UTF-32; save the file as UTF-8"),
    (b"\xff\xfe\x00\x00", "UTF-32; save the file as UTF-8"),
)
_MARKUP = (b"<!doctype html", b"<html", b"<table", b"<?xml")


def recognise(path: Path, encoding: str | None = None) -> Recognised:
    """Return the format of this file.

    encoding: of text, if the user has named it. Raises FixtureFileError for a format that is not read, with what to do,
    and OSError.
    """
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _recognise_archive(path)
    for signature, meaning in _SIGNATURES:
        if start.startswith(signature):
            raise FixtureFileError(f"{path.name}: this is {meaning}")
    recognised = next(
        (Recognised(FileFormat.TEXT, name, len(mark)) for mark, name in _MARKS if start.startswith(mark)), None
    )
    recognised = recognised or Recognised(FileFormat.TEXT, _without_mark(path, start))
    if encoding is not None:
        recognised = Recognised(FileFormat.TEXT, encoding, recognised.mark)
    text = start[recognised.mark :].decode(recognised.encoding, "ignore").lstrip().lower()
    if text.startswith("begin:vcard"):
        return Recognised(FileFormat.VCARD, recognised.encoding, recognised.mark)
    if text.encode().startswith(_MARKUP):
        raise FixtureFileError(f"{path.name}: this is HTML or XML, even if a spreadsheet opens it; {_SAVE_AS}")
    return recognised


def _recognise_archive(path: Path) -> Recognised:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    # NotImplementedError is zipfile's for a directory of a later version of the format than it reads.
    except (zipfile.BadZipFile, NotImplementedError) as exc:
        raise FixtureFileError(f"{path.name}: a damaged or incomplete workbook or archive; save it again") from exc
    if "xl/workbook.xml" in names:
        return Recognised(FileFormat.WORKBOOK)
    if "xl/workbook.bin" in names or "content.xml" in names or "Index/Document.iwa" in names:
        raise FixtureFileError(f"{path.name}: this is a spreadsheet of another format than .xlsx; {_SAVE_AS}")
    raise FixtureFileError(f"{path.name}: this is {_UNPACK}")


def _without_mark(path: Path, start: bytes) -> str:
    """Return the encoding of text without a byte-order mark.

    In UTF-16, commas, line ends and Latin letters have zero bytes on one side. Raises FixtureFileError for no text.
    """
    zeros = start.count(0)
    if not zeros:
        return "utf-8"
    high, low = start[0::2].count(0), start[1::2].count(0)
    if max(high, low) >= len(start) // 50 and min(high, low) <= max(high, low) // 8:
        encoding = "utf-16-le" if low > high else "utf-16-be"
        if all(character.isprintable() or character.isspace() for character in start.decode(encoding, "ignore")):
            return encoding
    raise FixtureFileError(f"{path.name}: this is a binary file of no format that is known here; {_SAVE_AS}")


class TextLines(Iterator[str]):
    """The lines of a text file, with their line ends: LF, CR LF or CR.

    Bytes that are no text in the line's encoding become lone surrogates, which the row's validation rejects.
    fallback: encoding of a line that is not UTF-8; None to read no other.
    """

    def __init__(self, path: Path, recognised: Recognised, fallback: str | None = WINDOWS) -> None:
        self._encoding = recognised.encoding
        self._fallback = fallback
        self._lines = _byte_lines(path, recognised) if recognised.encoding == "utf-8" else None
        self._texts = None if self._lines is not None else _text_lines(path, recognised)
        self._number = 0
        self._other_lines: list[int] = []
        self._other_count = 0

    def __next__(self) -> str:
        self._number += 1
        if self._lines is None:
            return next(self._texts or iter(()))
        line = next(self._lines)
        try:
            return line.decode()
        except UnicodeDecodeError:
            if self._fallback is None:
                return line.decode(errors="surrogateescape")
        self._other_count += 1
        if len(self._other_lines) < _REMARKED_LINES:
            self._other_lines.append(self._number)
        return line.decode(self._fallback, "surrogateescape")

    def remark(self) -> str:
        """Return the sentence about lines that are not UTF-8; empty if there are none."""
        if not self._other_count:
            return ""
        more = self._other_count - len(self._other_lines)
        numbers = ", ".join(map(str, self._other_lines)) + (f" and {more} more" if more else "")
        return (
            f"not UTF-8 in line{'s' if self._other_count > 1 else ''} {numbers}: read as Windows-1252 ({WINDOWS});"
            " name another encoding with --encoding"
        )


def _byte_lines(path: Path, recognised: Recognised) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(recognised.mark)
        rest = b""
        while block := file.read(_BLOCK):
            # bytes.splitlines knows \n, \r and \r\n, and no other line ends; a \r at the end may be half of one.
            lines = (rest + block).splitlines(keepends=True)
            rest = lines.pop() if not lines[-1].endswith(b"\n") else b""
            yield from lines
        if rest:
            yield from rest.splitlines(keepends=True)


def _text_lines(path: Path, recognised: Recognised) -> Iterator[str]:
    wide = recognised.encoding.startswith("utf-16")
    with path.open(encoding=recognised.encoding, errors="replace" if wide else "surrogateescape", newline="") as file:
        for number, line in enumerate(file):
            yield line.removeprefix("\ufeff") if number == 0 else line
