"""Lightmeter works in a folder with modules that have the names of Lightmeter's folders."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOREIGN = "raise ImportError('the module of the working directory was imported')\n"


@pytest.fixture
def foreign_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with modules named models, serve, labels, harvest and migrations."""
    for name in ("models.py", "serve.py", "labels/__init__.py", "harvest/__init__.py", "migrations/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(FOREIGN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("foreign_folder")
@pytest.mark.parametrize(
    ("launcher", "commands"),
    [
        (["-m", "lightmeter"], (["init", "p"], ["models", "recipes"])),  # models imports labels
        (
            ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "-m", "lightmeter"],
            (["serve", "--help"],),
        ),
    ],
    ids=["python -m", "torchrun"],
)
def test_command_ignores_modules_of_working_directory(launcher: list[str], commands: tuple[list[str], ...]) -> None:
    for args in commands:
        completed = subprocess.run([sys.executable, *launcher, *args], capture_output=True, text=True, check=False)
        assert completed.returncode == 0, completed.stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_notebook_ignores_modules_of_working_directory(foreign_folder: Path) -> None:
    code = "import lightmeter.harvest, lightmeter.labels, lightmeter.models, lightmeter.serve; lightmeter.models.Recipe"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, resources={"metadata": {"path": str(foreign_folder)}}, kernel_name="python3").execute()
    assert "Recipe" in notebook.cells[0].outputs[0]["data"]["text/plain"]
