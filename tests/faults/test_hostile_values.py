"""What strangers write ends in one sentence or a counted record: no traceback, nothing outside the project, within limits."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.faults import hostile
from tests.faults.conftest import OverLimit, Trials
from tests.faults.readers import ARGUMENT_COMMANDS, QUERY_COMMANDS, READERS
from tests.faults.world import World, files_below, leftovers
from tests.support import CommandResult

MAX_MEMORY_MB, MAX_CPU_S, TIMEOUT_S = 500, 20, 90
MAX_SENTENCE = 2000


@pytest.mark.parametrize("name", READERS)
@pytest.mark.trials("hostile files")
def test_hostile_file(name: str, world: World, trials: Trials) -> None:
    reader = READERS[name]
    path = reader.path(world)
    content, mode = path.read_bytes(), path.stat().st_mode
    outside = files_below(world.outside)
    for number in trials.numbers(1, 45):
        if trials.rng.random() < 0.2:
            what = hostile.make_irregular(path, world.outside, trials.rng)
        else:
            data = hostile.document(path.name, content, trials.rng)
            path.chmod(0o644)
            path.write_bytes(data)
            reader.seal(world)
            what = shortened(data)
        for command in reader.commands if trials.long else [trials.rng.choice(reader.commands)]:
            with trials.trial(f"{name}, {what}: {command}"):
                extra = ("--out", f"packs/{number}-{len(command)}") if "pack" in command else ()
                run(world, *command, *extra, function=reader.function, outside=outside)
        restore(path, content, mode)


@pytest.mark.trials("hostile queries")
def test_hostile_query(world: World, trials: Trials) -> None:
    outside = files_below(world.outside)
    for query in trials.rng.sample(hostile.QUERIES, trials.count(5, len(hostile.QUERIES))):
        clean = query.replace("\0", "").encode("utf-8", "replace").decode()[:120_000]
        for command in QUERY_COMMANDS if trials.long else [trials.rng.choice(QUERY_COMMANDS)]:
            with trials.trial(f"{clean[:200]!r}: {command}"):
                run(world, *command, clean, outside=outside)


@pytest.mark.trials("hostile arguments", seconds=60)
def test_hostile_argument(world: World, trials: Trials) -> None:
    outside = files_below(world.outside)
    for _ in trials.numbers(1, 10):
        for command in ARGUMENT_COMMANDS if trials.long else trials.rng.sample(ARGUMENT_COMMANDS, 6):
            value = hostile.argument(trials.rng)
            arguments = [str(part).replace("{}", value) for part in command]
            with trials.trial(f"{[part[:200] for part in arguments]}"):
                run(world, *arguments, outside=outside)


def run(world: World, *command: object, outside: dict[str, str], function: str = "") -> CommandResult:
    """Run a command and check what every command promises, whatever it reads."""
    options = () if function else ("--json",)
    if "-" in command and function == "":
        options = ()
    result = world.run(*command, *options, timeout_s=TIMEOUT_S, observed=True, function=function)
    check(world, result, outside)
    if options and result.output:
        json.loads(result.output, parse_constant=_refuse)
    return result


def check(world: World, result: CommandResult, outside: dict[str, str]) -> None:
    """Check how a command ended.

    Raises:
        AssertionError: It did not end well; `OverLimit` if it took too long or too much memory.
    """
    process = result.process
    assert process is not None
    if process.code == -9 or process.cpu_s > MAX_CPU_S or process.memory_mb > MAX_MEMORY_MB:
        raise OverLimit(f"code {process.code}, {process.cpu_s:.0f} s, {process.memory_mb:.0f} MB")
    error = result.error
    assert result.code in (0, 1, 2), f"exit code {result.code}: {error[-2000:]}"
    assert "Traceback" not in error, error[-2000:]
    assert "run with --debug" not in error, error[-2000:]
    if result.code and "lightmeter:" in error:
        sentence = error[error.index("lightmeter:") :]
        lines = [line for line in sentence.splitlines() if not line.startswith("  ")]  # a query is shown with its error
        assert len(lines) == 1, f"more than one sentence: {sentence[:3000]}"
        assert len(sentence) < MAX_SENTENCE, f"{len(sentence)} characters: {sentence[:300]}"
    elif result.code:
        assert result.output, "an exit code without a word"
    unprintable = {char for char in result.output + error if ord(char) < 32 and char not in "\n\t\r"}
    assert not unprintable, f"control characters: {unprintable}"
    assert files_below(world.outside) == outside, "the home folder has changed"
    compiled = "/__pycache__/"  # Python's, at the first import of a module
    elsewhere = [path for path in process.changed if not _is_inside(world, path) and compiled not in path]
    assert not elsewhere, f"written outside: {elsewhere}"
    assert not leftovers(world), leftovers(world)


def shortened(data: bytes) -> str:
    """Return the start of a document, with repetitions shortened."""
    return re.sub(r"(.{1,8}?)\1{9,}", r"\1…", repr(data[:4000]))[:600]


def restore(path: Path, content: bytes, mode: int) -> None:
    """Put a file back, whatever is at its path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def _is_inside(world: World, path: str) -> bool:
    folders = [
        world.project,
        world.home / "cache",
        world.home / "temporary",
        Path("/dev/null"),
        Path("/dev/tty"),
        Path("/dev/shm"),
    ]
    return any(Path(path).is_relative_to(folder) for folder in folders)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
