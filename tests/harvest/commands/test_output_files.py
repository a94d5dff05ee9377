"""Where commands of the catalogue write their results."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import run_error

LIGHTMETER = [sys.executable, "-m", "lightmeter"]


@pytest.mark.parametrize("target", ["-", "/dev/stdout", "/dev/fd/1"])
def test_export_to_standard_output_holds_the_table_alone(harvested_once: Path, target: str, tmp_path: Path) -> None:
    command = [*LIGHTMETER, "catalogue", "export", target, "--project", f"{harvested_once}/project"]
    piped = subprocess.run(command, capture_output=True, text=True, check=True)
    assert piped.stdout.startswith("sha256,source,")
    assert len(piped.stdout.splitlines()) > 6
    assert "Exported" in piped.stderr
    with (tmp_path / "out.csv").open("a") as out:
        out.write("first line\n")
        out.flush()
        subprocess.run(command, stdout=out, check=True, stderr=subprocess.DEVNULL)
    assert (tmp_path / "out.csv").read_text() == "first line\n" + piped.stdout
    assert Path("/dev/stdout").is_symlink()


def test_closed_pipe_ends_the_command_quietly(harvested_once: Path) -> None:
    command = f"{shlex.join(LIGHTMETER)} --project {harvested_once}/project catalogue export - | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_export_refuses_unknown_and_contradictory_formats(harvested_once: Path) -> None:
    project = ("--project", harvested_once / "project")
    assert "ends in .csv or .parquet" in run_error("catalogue", "export", "table.xlsx", *project)
    assert "contradicts" in run_error("catalogue", "export", "table.csv", "--format", "parquet", *project)
    assert "ends in .jpg, .jpeg or .png" in run_error(
        "harvest", "contact-sheet", "--filter", "quality", "--out", "sheet.gif", *project
    )
