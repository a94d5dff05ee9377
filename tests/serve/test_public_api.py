"""The names that ``lightmeter.serve`` exports, and their examples."""

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import lightmeter.serve
from lightmeter.project import Project
from tests.serve.support import make_photo, make_run, run_in_project


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


def failed_examples(exported: object) -> int:
    """Run the examples of a docstring and return the number of failures; fail if it has none."""
    runner = doctest.DocTestRunner()
    examples = [test for test in doctest.DocTestFinder(recurse=False).find(exported) if test.examples]
    assert examples
    return sum(runner.run(test).failed for test in examples)


@pytest.mark.server
def test_examples_work(project: Path) -> None:
    make_run(project / "runs" / "patches-iso-demo-1", "patches-iso-demo-1")
    (project / "photo.jpg").write_bytes(make_photo())

    assert failed_examples(lightmeter.serve.write_archive) == 0
    started = run_in_project("serve", "start", project=Project(project))
    failed = failed_examples(lightmeter.serve.Client)
    run_in_project("serve", "stop", project=Project(project))

    assert started.code == 0, started.error
    assert failed == 0
