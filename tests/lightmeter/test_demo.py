"""The demo; the notebook and the examples of the public API run in its project."""

import doctest
import shutil
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbclient import NotebookClient

from lightmeter.demo.runner import DemoRunner
from lightmeter.errors import LightmeterError
from tests.support import LOOPBACK, CommandRunner, create_project, run_error, run_json

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("lightmeter", "lightmeter.harvest", "lightmeter.labels", "lightmeter.models")

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, all_commands: CommandRunner) -> dict[str, Any]:
    """Result of a small demo, whose commands are forked; ``examples`` has what failed in those of a running server."""
    failed: list[str] = []

    def run(runner: DemoRunner, project: str, *args: str, show: bool = True) -> Any:
        folder = runner.root / project
        folder.mkdir(parents=True, exist_ok=True)
        if args == ("serve", "stop"):
            _copy_photograph(folder)
            with chdir(folder):
                failed.append(failed_examples("lightmeter.serve"))
        result = all_commands.run(*args, "--json", folder=folder, env=LOOPBACK)
        assert result.code == 0, result.error
        return result.document

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DemoRunner, "run", run)
        result: dict[str, Any] = run_json("demo", tmp_path_factory.mktemp("demo") / "demo", "--count", 30)
    return result | {"examples": failed}


def _copy_photograph(project: Path) -> None:
    photograph = next(path for path in (project / "store").glob("*/*") if path.is_file())
    shutil.copyfile(photograph, project / "photograph.jpg")


def failed_examples(package: str) -> str:
    """Run the examples of a package's public API, and return a report of those that fail; fail if it has none."""
    module = import_module(package)
    finder, runner = doctest.DocTestFinder(recurse=True), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report: list[str] = []
    for name in module.__all__:
        value = getattr(module, name)
        for test in finder.find(value, name, module=import_module(value.__module__)):
            runner.run(test, out=report.append)
    assert runner.tries > 0
    return "".join(report) if runner.failures else ""


def test_demo_runs_commands_in_new_processes(tmp_path: Path) -> None:
    create_project(tmp_path / "project")
    runner = DemoRunner(tmp_path)
    assert runner.run("project", "harvest", "status")["total"]["found"] == 0
    with pytest.raises(LightmeterError, match="'lightmeter harvst' failed") as error:
        runner.run("project", "harvst")
    assert error.value.details[0].startswith("lightmeter: ")


@pytest.fixture
def demo_project(demo: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Project of the demo, as the working directory, with a file ``photograph.jpg``."""
    project = Path(demo["folder"]) / "project"
    monkeypatch.chdir(project)
    return project


def test_demo_runs_full_pipeline(demo: dict[str, Any]) -> None:
    assert demo["outputs"]
    assert all(Path(path).exists() for path in demo["outputs"].values())
    assert demo["predictions"]
    for prediction in demo["predictions"]:
        assert prediction["served"] == prediction["local"]
    harvest = next(step["result"] for step in demo["steps"] if "Crawl" in step["name"])
    assert harvest == "32 found, 30 fetched, 1 gone, 1 failed"


def test_demo_leaves_no_process_behind(demo: dict[str, Any]) -> None:
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if demo["folder"] in command]


def test_demo_rejects_folder_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    assert "already exists" in run_error("demo", tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_notebook_runs(demo_project: Path) -> None:
    notebook = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)
    NotebookClient(notebook, resources={"metadata": {"path": str(demo_project)}}, kernel_name="python3").execute()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert "f_number" in outputs[1][-1]["data"]["text/html"]
    assert "image/png" in outputs[2][-1]["data"]
    assert "iso" in outputs[-1][-1]["data"]["text/plain"]


@pytest.mark.parametrize("package", PACKAGES)
def test_examples_of_public_api_run(package: str, demo_project: Path) -> None:
    assert failed_examples(package) == ""


def test_examples_of_serving_run_while_the_model_is_served(demo: dict[str, Any]) -> None:
    assert demo["examples"] == [""]
