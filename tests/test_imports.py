"""Who may import whom: stories stand on rules, rules on the vocabulary; the emulator stands alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "enrich"
VOCABULARY = {"vocabulary", "errors", "deadline"}
SUBJECTS = {"accounts", "customers", "journal", "taskrouter", "webhooks"}
PURE = {
    "webhooks.payloads",
    "customers.identifiers",
    "customers.matching",
    "customers.card",
    "customers.context",
    "customers.fixture_rows",
    "pages.charts",
    "pages.customer_form",
    "pages.masking",
    "customers.records",
    "customers.interactions",
    "taskrouter.attributes",
    "taskrouter.instructions",
    "policy.context",
    "policy.expressions",
    "policy.facts",
    "policy.file",
    "policy.known",
    "policy.problems",
    "policy.rules",
    "policy.templates",
    "policy.timeouts",
    "policy.wrapup",
    "taskrouter.endpoints",
    "taskrouter.plan_text",
    "taskrouter.provisioning",
    "taskrouter.toml_places",
    "taskrouter.workflow_configuration",
    "taskrouter.workspace_file",
    "taskrouter.workspace_plan",
    "taskrouter.workspace_text",
}
STORIES = {
    "enrichment",
    "assignment",
    "decision",
    "rulebook",
    "lifecycle",
    "handover",
    "completion",
    "telling",
    "diagnosis.findings",
    "diagnosis.installation",
    "diagnosis.tasks",
    "diagnosis.account",
    "diagnosis.callbacks",
    "diagnosis.callback_urls",
    "diagnosis.reach",
}
IMPURE = {"flask", "sqlalchemy", "requests", "urllib3", "gevent", "os", "time", "random"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path: Path) -> Iterator[str]:
    """Modules that are imported when the program runs; names that only a type checker sees do not count."""
    tree = ast.parse(path.read_text())
    for_types_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(path, node)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    folder = ["enrich", *path.relative_to(PACKAGE).parts[: -node.level]]
    return ".".join(folder + ([node.module] if node.module else []))


def ours(path: Path) -> set[str]:
    """What a module imports of this package, without the prefix."""
    found = {name.removeprefix("enrich.") for name in imports(path) if name.startswith("enrich.")}
    return {name for name in found if (PACKAGE / name.replace(".", "/")).with_suffix(".py").exists()}


def outside(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)} - {"enrich"}


modules = [pytest.param(path, id=module_name(path)) for path in sorted(PACKAGE.rglob("*.py"))]
service = [param for param in modules if not str(param.id).startswith("emulator.")]


@pytest.mark.parametrize("path", [param for param in modules if str(param.id).startswith("emulator.")])
def test_the_emulator_shares_nothing_with_the_service(path: Path) -> None:
    """A mistake that both share would agree with itself."""
    names = {name for name in imports(path) if name.split(".")[0] in ("enrich", "app")}
    assert all(name.startswith("enrich.emulator") or name == "enrich" for name in names), names


@pytest.mark.parametrize("path", service)
def test_the_service_does_not_know_the_emulator(path: Path) -> None:
    """It is reached by its address alone. `flask emulator` and `flask demo` start it, as a process of its own."""
    assert not any(name.startswith("enrich.emulator") for name in imports(path))


@pytest.mark.parametrize("path", [param for param in service if param.id in PURE])
def test_rules_are_pure(path: Path) -> None:
    own_folder = module_name(path).split(".")[0] + "."
    assert not outside(path) & IMPURE
    assert all(name in VOCABULARY or name.startswith(own_folder) for name in ours(path)), ours(path)


@pytest.mark.parametrize("path", [param for param in service if param.id in STORIES])
def test_stories_get_their_adapters_as_arguments(path: Path) -> None:
    assert not outside(path) & IMPURE
    assert ours(path) <= VOCABULARY | PURE | STORIES, ours(path)


@pytest.mark.parametrize("path", [param for param in service if str(param.id).split(".")[0] in SUBJECTS])
def test_no_subject_imports_another(path: Path) -> None:
    """Views and commands are the edge and may; everything else keeps to its own folder."""
    name = module_name(path)
    if name.endswith((".views", ".commands", ".sessions", ".__init__", ".door", ".answers", ".shedding")):
        return
    subject = name.split(".")[0]
    assert not {other for other in ours(path) if other.split(".")[0] in SUBJECTS - {subject}}


@pytest.mark.parametrize("path", [param for param in service if str(param.id) in VOCABULARY])
def test_the_vocabulary_needs_nothing(path: Path) -> None:
    assert ours(path) <= VOCABULARY
