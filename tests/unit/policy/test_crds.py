"""The CustomResourceDefinitions that are committed, and the models that they are made from."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from acme_ra.policy.crds import DESCRIPTIONS, definitions, file_name, render
from acme_ra.policy.errors import PolicyErrors
from tests.support.policies import policy_set
from tests.support.policy_documents import CASES, Case

FOLDER = Path(__file__).parents[3] / "deploy" / "crds"


def test_committed_definitions_are_the_ones_that_the_models_make() -> None:
    """Otherwise: `acme-ra policy crds`, one file each, or the snippet in docs/policy-resources.md."""
    made = {file_name(one): render(one) for one in definitions()}

    assert {path.name: path.read_text() for path in FOLDER.glob("*.yaml")} == made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_model_judges_the_table(case: Case) -> None:
    """The same table goes to a real API server in tests/cluster/test_policy_resources.py."""
    if case.good:
        assert len(policy_set(case.document)) == 1
        return

    with pytest.raises(PolicyErrors):
        policy_set(case.document)


@pytest.mark.parametrize("definition", definitions(), ids=file_name)
def test_schemas_are_structural_and_bounded(definition: dict[str, Any]) -> None:
    """A type everywhere but for the word-or-list, no references, no pruning below spec, and an end to every list."""
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    for path, node in _nodes(schema, ""):
        assert "$ref" not in node, path
        assert "$defs" not in node, path
        if path == ".spec.require.challenges":
            continue
        assert isinstance(node["type"], str), path
        if node["type"] == "array":
            assert "maxItems" in node, path
        if node["type"] == "string" and path.startswith(".spec"):
            assert "maxLength" in node or "enum" in node, path
        if "properties" in node and not path.startswith(".status"):
            assert node["x-kubernetes-preserve-unknown-fields"] is True, path


def test_every_key_is_explained_once() -> None:
    """`kubectl explain` has a text for each key, and there is none for a key that is gone."""
    seen = set()
    for definition in definitions():
        schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for path, _ in _nodes(schema["properties"]["spec"], ""):
            seen.add(re.sub(r"\[\]|\.\*$", "", path).removeprefix("."))

    assert seen - {""} == set(DESCRIPTIONS)


def test_definitions_are_yaml_without_anchors() -> None:
    for definition in definitions():
        text = render(definition)
        assert yaml.safe_load(text) == definition
        assert not re.search(r"(?m)^\s*(?:- |\w+: )[&*]\w", text)


def _nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for key, inner in schema.get("properties", {}).items():
        yield from _nodes(inner, f"{path}.{key}")
    if "items" in schema:
        yield from _nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _nodes(schema["additionalProperties"], f"{path}.*")
