"""The software bill of materials: complete against the lock, valid against the schema, and with licences."""

from __future__ import annotations

import hashlib
import json
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from enrich import __version__
from scripts.lock_files import read_lock_files
from scripts.sbom import bill_of_materials, dependency_graph, licence, licences

CHECKOUT = Path(__file__).parents[2]
LOCKED = read_lock_files([CHECKOUT / "requirements.txt"])
HTMX = b"var htmx = {}"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return bill_of_materials(LOCKED, "2.0.10", HTMX)


def test_it_is_valid_cyclonedx(document: dict[str, Any]) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None


def test_it_is_about_this_version_of_the_service(document: dict[str, Any]) -> None:
    service = document["metadata"]["component"]
    assert (service["name"], service["version"]) == ("taskrouter-enrich", __version__)


def test_it_names_every_locked_package_with_version_and_all_hashes(document: dict[str, Any]) -> None:
    assert len(LOCKED) > 50
    named = {
        (component["name"], component["version"]): [
            each["content"] for each in component["externalReferences"][0]["hashes"]
        ]
        for component in document["components"]
        if component["purl"].startswith("pkg:pypi/")
    }
    assert named == {(package.name, package.version): list(package.sha256) for package in LOCKED}
    assert all(package.sha256 for package in LOCKED)


def test_it_names_htmx_with_the_hash_of_its_file(document: dict[str, Any]) -> None:
    (htmx,) = [component for component in document["components"] if component["name"] == "htmx.org"]
    assert htmx["version"] == "2.0.10"
    assert htmx["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(HTMX).hexdigest()}]
    assert htmx["licenses"] == [{"expression": "0BSD"}]


def test_every_installed_package_has_a_licence(document: dict[str, Any]) -> None:
    installed = {
        distribution.name.lower().replace("_", "-").replace(".", "-") for distribution in metadata.distributions()
    }
    for component in document["components"]:
        if component["name"] in installed:
            assert len(component["licenses"]) == 1, component["name"]
        elif component["name"] != "htmx.org":
            assert component["scope"] == "optional", component["name"]


def test_dependencies_lead_from_the_service_to_every_installed_package(document: dict[str, Any]) -> None:
    needed = {each["ref"]: each["dependsOn"] for each in document["dependencies"]}
    reached: set[str] = set()
    todo = ["taskrouter-enrich"]
    while todo:
        reference = todo.pop()
        if reference not in reached:
            reached.add(reference)
            todo += needed.get(reference, [])
    assert reached == {
        "taskrouter-enrich",
        *(component["bom-ref"] for component in document["components"] if component.get("scope") != "optional"),
    }


def test_an_extra_is_followed_only_where_it_is_asked_for() -> None:
    assert dependency_graph("service", ["psycopg"])["psycopg"] == {"typing-extensions"}
    assert dependency_graph("service", ["psycopg[binary]"])["psycopg"] == {"psycopg-binary", "typing-extensions"}
    assert dependency_graph("service", ["psycopg; sys_platform == 'none'"])["service"] == set()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("License-Expression", "MIT OR Apache-2.0")], {"expression": "MIT OR Apache-2.0"}),
        ([("License", "bsd-3-clause")], {"expression": "BSD-3-Clause"}),
        ([("License", "Apache 2.0")], {"license": {"name": "Apache 2.0"}}),
        (
            [("License", "Copyright 2010\nRedistribution"), ("Classifier", "License :: OSI Approved :: BSD License")],
            {"license": {"name": "BSD License"}},
        ),
    ],
    ids=["expression", "identifier in the older field", "words", "whole text, and a classifier"],
)
def test_a_licence_is_an_spdx_expression_if_it_can_be(fields: list[tuple[str, str]], expected: dict[str, Any]) -> None:
    assert licence(declared(fields)) == expected


def test_a_package_without_a_licence_is_refused() -> None:
    with pytest.raises(ValueError, match="example declares no licence"):
        licence(declared([("Name", "example"), ("Classifier", "Programming Language :: Python")]))


def test_the_list_of_licences_has_a_line_for_each_component(document: dict[str, Any]) -> None:
    lines = licences(document).splitlines()
    assert "htmx.org 2.0.10  0BSD" in lines
    assert len(lines[lines.index("") + 1 :]) == len(document["components"])


def declared(fields: list[tuple[str, str]]) -> metadata.PackageMetadata:
    message = Message()
    for name, value in fields:
        message[name] = value
    return cast(metadata.PackageMetadata, message)
