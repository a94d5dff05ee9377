"""Where commands of the catalogue write their results."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import CommandRunner, run_error

LIGHTMETER = [sys.executable, "-m", "lightmeter"]


def test_export_to_standard_output_holds_the_table_alone(
    harvested_once: Path, lightmeter: CommandRunner, tmp_path: Path
) -> None:
    export = ("--project", harvested_once / "project", "catalogue", "export")
    piped = lightmeter.run(*export, "-")
    assert piped.output.startswith("sha256,source,")
    assert len(piped.output.splitlines()) > 6
    assert "Exported" in piped.error
    assert lightmeter.run(*export, "/dev/fd/1").output == piped.output
    file = tmp_path / "table.csv"
    with file.open("a") as out:
        out.write("first line\n")
        out.flush()
        subprocess.run(lightmeter.command(*export, "/dev/stdout"), stdout=out, check=True, stderr=subprocess.DEVNULL)
    assert file.read_text() == "first line\n" + piped.output
    assert Path("/dev/stdout").is_symlink()


def test_closed_pipe_ends_the_command_quietly(harvested_once: Path) -> None:
    command = f"{shlex.join(LIGHTMETER)} --project {harvested_once}/project catalogue export - | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_export_refuses_unknown_and_contradictory_formats(harvested_once: Path) -> None:
    project = ("--project", harvested_once / "project")
    assert "ends in .csv, " in run_error("catalogue", "export", "table.ods", *project)
    assert "contradicts" in run_error("catalogue", "export", "table.csv", "--format", "parquet", *project)
    assert "ends in .jpg, .jpeg or .png" in run_error(
        "harvest", "contact-sheet", "--filter", "quality", "--out", "sheet.gif", *project
    )


def test_full_disk_is_one_sentence(harvested_once: Path) -> None:
    error = run_error("catalogue", "export", "/dev/full", "--project", harvested_once / "project", code=1)
    assert "The disk is full" in error


def test_project_on_read_only_file_system_can_be_read(harvested_once: Path, tmp_path: Path) -> None:
    project = shutil.copytree(harvested_once / "project", tmp_path / "what? #1%20")
    status = run_read_only(project, "--json", "harvest", "status")
    assert json.loads(status.stdout)["total"]["found"] > 0, status.stderr
    edit = run_read_only(project, "catalogue", "edit", "--where", "width > 0", "owner=ann")
    assert edit.returncode == 1
    assert "read-only" in edit.stderr
    assert edit.stderr.count("\n") == 1


def run_read_only(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command while its project is mounted read-only."""
    folder = shlex.quote(str(project))
    mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} || exit 99"
    command = f"{mount}; {shlex.join([*LIGHTMETER, '--project', str(project), *args])}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", command], capture_output=True, text=True, check=False)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("this user cannot mount file systems")
    return done
