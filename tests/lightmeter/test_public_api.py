"""The exported names of every package."""

import subprocess
import sys
from importlib import import_module

import pytest

from tests.support import ROOT

EXPORTS = {
    "lightmeter": {"LightmeterError", "Project", "UsageError", "load_predictor", "open_catalogue", "open_dataset"},
    "lightmeter.harvest": {
        "KEEP",
        "Argument",
        "Checkpoint",
        "DatedQuery",
        "Cursor",
        "DecodedImage",
        "Detection",
        "Filter",
        "Measurement",
        "Measures",
        "Option",
        "Section",
        "Sighting",
        "Source",
        "SourceQuery",
        "SourceRegion",
        "SpiderSource",
        "Unreadable",
        "convert_record",
        "Verdict",
        "open_catalogue",
    },
    "lightmeter.labels": {
        "ClassDefinition",
        "Decision",
        "Definition",
        "OpenDefinition",
        "PhotoFacts",
        "Target",
        "open_dataset",
    },
    "lightmeter.models": {"ModelSpec", "Recipe", "evaluate", "load_predictor", "register_architecture", "train"},
    "lightmeter.serve": {"Client", "write_archive"},
    "lightmeter.testing": {
        "ArchitectureTests",
        "FilterTests",
        "ServedFolder",
        "SourceTests",
        "TargetTests",
        "photograph",
        "served",
    },
}


@pytest.mark.parametrize("package", EXPORTS)
def test_exported_names_are_pinned(package: str) -> None:
    module = import_module(package)
    assert set(module.__all__) == EXPORTS[package]
    assert all(getattr(module, name).__doc__ for name in module.__all__)


@pytest.mark.parametrize("package", EXPORTS)
def test_unknown_name_raises_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(import_module(package), "nothing")  # noqa: B009


@pytest.mark.parametrize("package", sorted(EXPORTS.keys() - {"lightmeter.testing"}))
def test_import_loads_no_heavy_library(package: str) -> None:
    heavy = {"torch", "sqlalchemy", "numpy", "pydantic", "rich", "httpx", "uvicorn"}
    code = f"import {package}, sys; print(sorted({heavy} & set(sys.modules)))"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout == "[]\n"


def test_references_are_generated_from_current_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert import_module("generate").main() == 0
