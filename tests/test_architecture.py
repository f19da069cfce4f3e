"""The architecture as documented is the one that import-linter holds, and tests share code by tests/support alone."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def contracted_layers() -> list[set[str]]:
    """Return the layers of the service as import-linter holds them, without names that are reserved."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (contract,) = [one for one in contracts if one["type"] == "layers" and one["containers"] == ["enrich"]]
    return [{name for name in names_of(layer) if not name.startswith("(")} for layer in contract["layers"]]


def names_of(layer: str) -> set[str]:
    return {name.strip() for name in layer.split("|")}


def section(heading: str) -> str:
    return re.split(r"^## ", PAGE.split(f"## {heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_documented_layers_are_those_of_the_contract() -> None:
    listing = re.findall(r"^ {4}(\S.*)$", section("The rule of imports"), re.MULTILINE)
    assert [names_of(layer) for layer in listing] == contracted_layers()


def test_every_package_is_described() -> None:
    table = section("Every folder in a sentence").split("In `enrich/`:")[1]
    described = {
        name.removesuffix("/").removesuffix(".py") for name in re.findall(r"^\| `([\w/.]+)` \|", table, re.MULTILINE)
    }
    assert described == set().union(*contracted_layers())


def test_tests_import_from_support_alone() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for module in imported(path)
        if re.match(r"tests\.(?!support\b)", module)
    ]
    assert found == []


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
