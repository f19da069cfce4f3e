"""Links to the documentation: from comments and docstrings to pages and headings, and from the README to pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("enrich", "emulators", "bench", "tests", "migrations", "templates")
SUFFIXES = {".py", ".html", ".css", ".js", ".toml", ".mako", ".yml"}

# `docs/page.md`, `docs/page.md, "Heading"`, `docs/page.md, "Heading" and "Another"`, or `docs/page.md#heading`.
_CITATION = re.compile(r'\b(docs/[\w./-]+\.md)(?:#([\w-]+)|((?:(?:, and|,| and) "[^"\n]+")+))?')
_CONTINUATION = re.compile(r"\n[ \t]*(?:#(?!!)[ \t]*)?")
_HEADING = re.compile(r"^#+ (.+?)$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def citations(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each cited page with the anchors of it that are cited. A citation may go on in the next line."""
    for page, anchor, quoted in _CITATION.findall(_CONTINUATION.sub(" ", text)):
        yield page, [anchor] if anchor else [anchor_of(heading) for heading in re.findall(r'"([^"]+)"', quoted)]


def anchor_of(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def sources() -> list[Path]:
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.suffix in SUFFIXES]
    return [*found, *ROOT.glob("*.py"), ROOT / "pyproject.toml", ROOT / "Makefile", ROOT / "Dockerfile"]


def test_every_cited_page_and_heading_exists() -> None:
    missing = []
    for source in sources():
        if source == Path(__file__):
            continue
        for page, anchors in citations(source.read_text(encoding="utf-8")):
            where = f"{source.relative_to(ROOT)}: {page}"
            if not (ROOT / page).is_file():
                missing.append(where)
                continue
            text = _FENCED.sub("", (ROOT / page).read_text(encoding="utf-8"))
            headings = {anchor_of(heading) for heading in _HEADING.findall(text)}
            missing += [f"{where}#{anchor}" for anchor in anchors if anchor not in headings]
    assert not missing


def test_the_readme_links_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages - set(re.findall(r"\]\((docs/[\w.-]+\.md)", readme)) == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("# See docs/a.md.", ("docs/a.md", []), id="page"),
        pytest.param('# (docs/a.md, "One Two")', ("docs/a.md", ["one-two"]), id="heading"),
        pytest.param('# docs/a.md, "One" and "Two, three".', ("docs/a.md", ["one", "two-three"]), id="two headings"),
        pytest.param('    # why (docs/a.md,\n    # "One")', ("docs/a.md", ["one"]), id="next line of a comment"),
        pytest.param(
            '"""Why.\n\n    Source: docs/a.md,\n    "One".', ("docs/a.md", ["one"]), id="next line of a docstring"
        ),
        pytest.param("see docs/b/c-d.md#one-two", ("docs/b/c-d.md", ["one-two"]), id="anchor"),
        pytest.param('read("docs/a.md", "r")', ("docs/a.md", []), id="a string in code is no heading"),
    ],
)
def test_citations_are_read(text: str, expected: tuple[str, list[str]]) -> None:
    assert list(citations(text)) == [expected]
