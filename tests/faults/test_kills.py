"""Commands that are killed at any moment: the same command again ends well, with the state of an undisturbed run."""

import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from tests.faults.conftest import Trials
from tests.faults.readers import READERS
from tests.faults.world import TRAIN, World, leftovers, state_of
from tests.support import CommandResult, jpeg

_TIMES = ("history.csv", "report.html", "README.md", "metrics.json", "training.png")


@dataclass(frozen=True)
class Command:
    """A command to kill.

    Attributes:
        args: The command.
        prepare: Called before it, in a copy of the world.
        ignored: Ends of the paths of files that differ from run to run, because they hold times.
        again: Options of the second start, if the message of a start without them names them.
    """

    args: tuple[object, ...]
    prepare: Callable[[World], object] = lambda _: None
    ignored: tuple[str, ...] = ()
    again: tuple[str, ...] = ()


def _more_photographs(world: World) -> None:
    for number in range(24, 36):
        file = world.home / "photographs" / "person 0" / f"{number}.jpg"
        file.write_bytes(jpeg(number))
        os.utime(file, (0, 0))


def _without_project(world: World) -> None:
    for path in world.project.iterdir():
        if path.name != "lightmeter.toml":
            path.rename(world.home / "temporary" / path.name)
    for path in (world.home / "temporary").iterdir():
        path.rename(world.home / "cache" / path.name)


def _labels(world: World) -> None:
    READERS["labels, CSV"].path(world)


def _regions(world: World) -> None:
    with sqlite3.connect(world.project / "catalogue.sqlite") as catalogue:
        catalogue.execute(
            "INSERT INTO regions (image_id, kind, origin, x, y, width, height, orientation, score) "
            "SELECT id, 'inside', 'trial', 0, 0, 32, 32, 1, 1.0 FROM images"
        )


def _damaged_store(world: World) -> None:
    damaged = min(world.project.glob("store/*/*"))
    damaged.chmod(0o644)
    damaged.write_bytes(b"damaged")


COMMANDS: dict[str, Command] = {
    "init": Command(("init", "."), _without_project),
    "catalogue upgrade": Command(("catalogue", "upgrade"), lambda world: (world.project / "catalogue.sqlite").unlink()),
    "harvest run": Command(("harvest", "run", "folder", "../photographs"), _more_photographs),
    "harvest run --refresh": Command(("harvest", "run", "folder", "../photographs", "--refresh")),
    "harvest inspect": Command(("harvest", "inspect", "--filter", "faces")),
    "harvest duplicates": Command(("harvest", "duplicates")),
    "harvest crops": Command(("harvest", "crops", "crops", "--kind", "inside"), _regions),
    "catalogue export": Command(("catalogue", "export", "table.parquet")),
    "catalogue edit": Command(("catalogue", "edit", "owner=ada", "--where", "iso <= 400")),
    "catalogue remove": Command(("catalogue", "remove", "--where", "iso <= 200", "--yes")),
    "labels apply": Command(("labels", "apply", "aperture", "iso", "shutter")),
    "labels import": Command(("labels", "import", "../labels.csv"), _labels),
    "labels export": Command(("labels", "export", "labels.json")),
    "labels audit": Command(("labels", "audit", "shutter-binary", "--no-model")),
    "labels split": Command(("labels", "split", "two", "--target", "shutter-binary", "--seed", "1")),
    "labels split --folds": Command(("labels", "split", "folds", "--target", "shutter-binary", "--folds", "3")),
    **{
        f"labels pack {name}": Command(("labels", "pack", "one", "--any-licence", "--format", name))
        for name in ("webdataset", "imagefolder", "parquet")
    },
    "models train": Command(
        ("models", "train", *TRAIN, "--data", "one", "--name", "new", "--seed", "1"),
        ignored=(*_TIMES, "model.toml"),
        again=("--resume",),
    ),
    "models evaluate": Command(("models", "evaluate", "tiny"), ignored=_TIMES),
    "serve archive": Command(("serve", "archive", "tiny", "--out", "new.mar")),
    "store check": Command(("store", "check", "--repair"), _damaged_store),
}


SHORT = (
    "init", "harvest run", "catalogue remove", "labels apply", "labels import", "labels split", "labels pack imagefolder",
    "models train", "serve archive", "store check",
)  # fmt: skip
"""Commands of the short form."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SHORT else pytest.mark.long) for name in COMMANDS]
)
@pytest.mark.trials("killed commands")
def test_killed_command(name: str, world: World, trials: Trials) -> None:
    command = COMMANDS[name]
    command.prepare(world)
    start = time.monotonic()
    finished = world.run(*command.args, observed=True)
    duration = time.monotonic() - start
    assert finished.code == 0, finished.error
    assert finished.process
    expected = state_of(world.project, command.ignored)
    steps = range(1, finished.process.steps + 1)
    moments: list[dict[str, Any]] = [
        {"kill_at": step} for step in sorted(trials.rng.sample(steps, min(len(steps), trials.count(1, 12))))
    ]
    moments += [{"kill_after_s": trials.rng.uniform(0, duration)} for _ in range(trials.count(0, 4))]
    trials.rng.shuffle(moments)
    for moment in trials.in_time(moments):
        with trials.trial(f"{name}, {moment} of {len(steps)}"):
            world.restore()
            command.prepare(world)
            killed = world.run(*command.args, **moment)
            assert killed.code in (-9, 0), killed.error
            wait_for_workers(killed)
            assert_whole_files(world)
            again = repeat(world, command)
            assert is_done(again), again.error
            assert not leftovers(world), leftovers(world)
            differing = differences(expected, state_of(world.project, command.ignored))
            assert not differing, "\n".join(differing[:6])


def repeat(world: World, command: Command) -> CommandResult:
    """Run a command again, as its message asks for it."""
    again = world.run(*command.args)
    if again.code and command.again and command.again[0] in again.error:
        return world.run(*command.args, *command.again)
    return again


def is_done(again: CommandResult) -> bool:
    """Return whether a command has succeeded, or finds that it did before: its output exists, its photographs are gone."""
    return again.code == 0 or "exists" in again.error or "No photograph matches" in again.error


def differences(expected: dict[str, Any], actual: dict[str, Any]) -> list[str]:
    """Return what differs, by name."""
    names = sorted(expected.keys() | actual.keys())
    result = []
    for name in names:
        before, after = expected.get(name), actual.get(name)
        if isinstance(before, set) and isinstance(after, set):
            result += [f"{name}: missing {row[:600]}" for row in sorted(before - after)]
            result += [f"{name}: additional {row[:600]}" for row in sorted(after - before)]
        elif before != after:
            result.append(f"{name}: {after} instead of {before}")
    return result


def wait_for_workers(killed: CommandResult) -> None:
    """Wait until all processes of a killed command have ended."""
    assert killed.process
    deadline = time.monotonic() + 60
    while workers := _running_in_group(killed.process.pid):
        assert time.monotonic() < deadline, f"left over: {workers}"
        time.sleep(0.05)


def _running_in_group(group: int) -> list[int]:
    running = (process.pid for process in psutil.process_iter(["status"]) if process.info["status"] != "zombie")
    return [pid for pid in running if _group_of(pid) == group]


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def assert_whole_files(world: World) -> None:
    """Check that every file under its final name is complete."""
    for path in world.project.glob("store/*/*"):
        assert len(path.name) == 64 or path.parent.name == ".incoming"
    for folder in world.project.glob("packs/*"):
        assert (folder / "README.md").is_file() or folder.name.startswith(".")
    for folder in world.project.glob("datasets/*"):
        if not folder.name.startswith((".", "folds")):
            assert (folder / "manifest.parquet").is_file(), folder
