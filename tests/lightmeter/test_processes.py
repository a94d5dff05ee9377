"""Identities of processes, and their folders for temporary files."""

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lightmeter.processes import ProcessIdentity, process_folder

OWN = ProcessIdentity.current()


def test_running_process_is_recognised() -> None:
    assert ProcessIdentity.parse(str(OWN)) == OWN
    assert OWN.is_running


def test_later_process_of_the_same_number_is_another_one() -> None:
    assert not ProcessIdentity(OWN.machine, OWN.pid, OWN.started + 1).is_running


def test_ended_and_unreaped_processes_do_not_run() -> None:
    code = "from lightmeter.processes import ProcessIdentity as P; print(P.current(), end='')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        identity = ProcessIdentity.parse(process.stdout.read())  # the process becomes a zombie
    assert identity is not None
    assert not identity.is_running


@given(st.text(max_size=30))
def test_any_text_is_an_identity_or_none(text: str) -> None:
    identity = ProcessIdentity.parse(text)
    assert identity is None or str(identity)


def test_only_folders_of_ended_local_processes_are_removed(tmp_path: Path) -> None:
    ended = ProcessIdentity(OWN.machine, OWN.pid, OWN.started + 1)
    elsewhere = ProcessIdentity("elsewhere_1", 1, 1)
    for name in (str(ended), str(elsewhere), "unknown"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").touch()
    own = process_folder(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {own.name, str(elsewhere), "unknown"}
