"""A full disk: each writing command ends with one sentence and exit code 1, and leaves what was there as it was."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Trials
from tests.faults.test_hostile_values import run
from tests.faults.test_kills import COMMANDS, is_done
from tests.faults.world import World, files_below, leftovers, tables_of

SIZE_MB = 16
_CAN_BE_FREED = ("harvest duplicates", "catalogue upgrade", "init")


@pytest.fixture
def disk(world: World) -> Iterator[World]:
    """The world with its project, its caches and temporary files on a file system of its own, which the test fills."""
    mounted = world.home.with_name("disk")
    mounted.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "lightmeter-trial", str(mounted)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this user cannot mount a small file system ({done.stderr.strip() or 'mount'})")
    try:
        shutil.rmtree(mounted / "home", ignore_errors=True)
        on_disk = World(mounted / "home", world.runner)
        shutil.copytree(world.home, on_disk.home, symlinks=True)
        (on_disk.home / "temporary").rmdir()
        (on_disk.home / "temporary").symlink_to(world.home / "temporary")  # Python would take another folder
        yield on_disk
    finally:
        subprocess.run(["umount", "--lazy", str(mounted)], check=True)


@pytest.mark.trials("full disks", seconds=60)
def test_full_disk(disk: World, trials: Trials) -> None:
    kept = disk.home.with_name("kept")
    shutil.copytree(disk.home, kept, symlinks=True)
    names = [name for name in COMMANDS if name not in _CAN_BE_FREED]
    for _ in trials.numbers(1, 6):
        for name in names if trials.long else trials.rng.sample(names, 5):
            free = trials.rng.choice((0, 4096, 20_000, 60_000, 200_000))
            with trials.trial(f"{name}, {free} bytes free"):
                fill_and_run(disk, name, free)
            (disk.home.parent / "filler").unlink(missing_ok=True)
            shutil.rmtree(disk.home)
            shutil.copytree(kept, disk.home, symlinks=True)


def fill_and_run(disk: World, name: str, free: int) -> None:
    """Fill the disk but for some bytes, run a command, and check what is left."""
    command = COMMANDS[name]
    command.prepare(disk)
    with_catalogue = (disk.project / "catalogue.sqlite").exists()
    tables = tables_of(disk.project / "catalogue.sqlite") if with_catalogue else {}
    before = stable(disk.project)
    outside = files_below(disk.outside)
    fill(disk.home.parent / "filler", free)
    result = run(disk, *command.args, outside=outside)
    assert result.code in (0, 1), f"exit code {result.code}: {result.error}"
    if result.code:
        assert any(word in result.error.lower() for word in ("full", "no space")), result.error
    (disk.home.parent / "filler").unlink()
    after = stable(disk.project)
    changed = [path for path in before if path in after and after[path] != before[path]]
    assert not changed or result.code == 0, f"damaged: {changed}"
    lost = before.keys() - after.keys()
    assert not lost or result.code == 0, f"lost: {lost}"
    assert not leftovers(disk), leftovers(disk)
    if with_catalogue:
        remaining = tables_of(disk.project / "catalogue.sqlite")
        assert remaining.keys() == tables.keys()
    again = disk.run(*command.args)
    if again.code and command.again and command.again[0] in again.error:
        again = disk.run(*command.args, *command.again)
    assert again.code == 0 or (result.code == 0 and is_done(again)), again.error


def fill(file: Path, free: int) -> None:
    """Fill a file system but for some bytes."""
    status = os.statvfs(file.parent)
    with file.open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, max(1, status.f_bavail * status.f_frsize - free))


def stable(project: Path) -> dict[str, str]:
    """Return the files of a project that no command changes but by replacing them."""
    volatile = ("catalogue.sqlite", ".lightmeter/")
    return {path: value for path, value in files_below(project).items() if not path.startswith(volatile)}
