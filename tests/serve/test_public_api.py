"""The names that ``lightmeter.serve`` exports."""

import subprocess
import sys

import pytest

import lightmeter.serve


def test_exported_names_are_importable() -> None:
    assert lightmeter.serve.__all__ == ["Client", "write_archive"]
    for name in lightmeter.serve.__all__:
        assert getattr(lightmeter.serve, name).__name__ == name


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Server"):
        _ = lightmeter.serve.Server


def test_import_loads_no_heavy_library() -> None:
    code = "import sys, lightmeter.serve; assert not {'torch', 'httpx', 'uvicorn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
