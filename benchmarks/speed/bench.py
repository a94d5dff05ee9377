"""Run the benchmarks and write docs/performance.md: ``make bench``, or ``make bench ONLY=NAME`` for one of them.

    python -m benchmarks.speed.bench [NAME ...] [--rounds N] [--list] [--page]

Each benchmark is a section of the page: a table with a row per contender, measured in turn at least five times, in a
process of its own (`measurement`), which takes less than five minutes. One that fails, hangs or lacks a
program is named on the page and stops no other; altogether they end within 25 minutes. Results are kept in
``results.json``, so that measuring one benchmark again leaves the other sections as they are, and adds the
missing rounds to a result of the same commit. With fewer than five rounds (``--rounds 1`` for a trial) results are only
printed.

To add a benchmark, write a module with a `Benchmark` and add a line to ``REGISTRY``:

    from benchmarks.speed.measurement import Benchmark, Contender, Goal

    @contextmanager
    def contenders(folder: Path) -> Iterator[list[Contender]]:
        files = make_photographs(folder)                        # not measured
        yield [
            Contender("Lightmeter", lambda: {"500 px": rate(ours, files), "12 MP": ...}),
            Contender("Pillow", lambda: {"500 px": rate(pillow, files), "12 MP": ...}),
        ]

    BENCHMARK = Benchmark(
        title="Decoding, photographs per second on one core",
        text="What is measured, on what, how.",
        contenders=contenders,
        goals=[Goal("speed relative to Pillow", "Lightmeter", {"500 px": 2.0}, relative_to="Pillow")],
    )

A `measure` function runs once and returns its values by column. It should take 1 to 20 s: a round is the sum over all
contenders, a benchmark five rounds. Programs to compare with are installed in environments of their own
(`benchmarks.speed.comparators`): add the requirement there, name it in ``REGISTRY``, call it by
``comparators.program("img2dataset")``.
"""

import argparse
import importlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.speed import comparators, machine, performance_page
from benchmarks.speed.measurement import ROUNDS, Benchmark

ATTEMPTS = 4  # for the rounds that did not fit into the time of a benchmark
RESULTS = Path(__file__).with_name("results.json")
GPU_RESULTS = Path(__file__).with_name("gpu.json")  # written by `benchmarks.speed.gpu`, where there is one
PAGE = Path(__file__).parents[2] / "docs/performance.md"
TOTAL_SECONDS = 25 * 60
INTERRUPT_SECONDS = 20
GRACE_SECONDS = 110  # for imports, preparation and the last round


@dataclass(frozen=True)
class Entry:
    """A benchmark of the registry.

    Attributes:
        benchmark: Module and attribute, ``module:ATTRIBUTE``.
        seconds: Time for its rounds; it is killed `GRACE_SECONDS` later.
        comparators: Environments that it needs.
    """

    benchmark: str
    seconds: float
    comparators: tuple[str, ...] = ()


REGISTRY = {
    "ingest": Entry("benchmarks.speed.ingest:BENCHMARK", 120, ("gallery-dl", "img2dataset")),
    "ingest-steps": Entry("benchmarks.speed.ingest_steps:BENCHMARK", 30),
    "inspection": Entry("benchmarks.speed.inspection:BENCHMARK", 120, ("cleanvision",)),
    "near-duplicates": Entry("benchmarks.speed.inspection:NEAR_DUPLICATES", 60),
    "prediction": Entry("benchmarks.speed.prediction:PREDICTION", 120),
    "features": Entry("benchmarks.speed.prediction:FEATURES", 120),
    "serving": Entry("benchmarks.speed.serve:BENCHMARK", 180),
    "serving-processes": Entry("benchmarks.speed.serve:PROCESSES", 90),
    "training": Entry("benchmarks.speed.train:BENCHMARK", 75),
    "grids": Entry("benchmarks.speed.grids:BENCHMARK", 45),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run (default: all)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"measurements of each row (default: {ROUNDS})")
    parser.add_argument("--page", action="store_true", help="only write the page anew, with the present texts")
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    options = parser.parse_args()
    if unknown := set(options.names) - REGISTRY.keys():
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; one of {', '.join(REGISTRY)}")
    if options.list:
        print("\n".join(f"{name:14} {entry.seconds:4.0f} s  {entry.benchmark}" for name, entry in REGISTRY.items()))
        return
    if options.page:
        write_page({name: result | texts(REGISTRY[name]) for name, result in read_results().items()})
        return
    names = options.names or list(REGISTRY)
    deadline = time.monotonic() + TOTAL_SECONDS
    compile_modules()
    missing = install_comparators(names)
    incomplete = names
    for _ in range(1 if options.names else ATTEMPTS):
        names, incomplete = incomplete, []
        for name in names:
            about = description(name, missing)
            earlier = unfinished_rows(name, about) if options.rounds >= ROUNDS else {}
            result = about | run(name, options.rounds, deadline - time.monotonic(), earlier)
            if not is_complete(result, options.rounds):
                incomplete.append(name)
            print(performance_page.section(name, result), flush=True)
            if options.rounds >= ROUNDS and result.get("rows"):
                save(name, result)
    if incomplete:
        sys.exit(f"Not complete: {', '.join(incomplete)}; the same command adds the missing rounds.")


def compile_modules() -> None:
    """Compile Lightmeter's modules, as an installation does; links are not followed."""
    packages = [str(path.parent) for path in PAGE.parents[1].glob("*/__init__.py")]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *packages], cwd=PAGE.parents[1], check=True)


def install_comparators(names: list[str]) -> dict[str, str]:
    """Install the comparators of benchmarks; return the errors by comparator."""
    errors = {}
    for comparator in sorted({comparator for name in names for comparator in REGISTRY[name].comparators}):
        try:
            comparators.install(comparator)
        except (OSError, RuntimeError) as error:
            print(error, file=sys.stderr)
            errors[comparator] = str(error).splitlines()[0]
    return errors


def unfinished_rows(name: str, about: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the rows of a result of the same commit and machine that lacks rounds; nothing if there is none.

    A changed checkout may be another program, so nothing is added to what it measured.
    """
    result = read_results().get(name, {})
    same = "-dirty" not in about["machine"]["commit"] and all(
        result.get("machine", {}).get(key) == about["machine"][key] for key in ("machine", "commit", "versions")
    )
    return {} if not same or is_complete(result, ROUNDS) else result.get("rows", {})


def read_results() -> dict[str, Any]:
    """Return the results by benchmark."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def run(name: str, rounds: int, seconds_left: float, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Run a benchmark in a process of its own; return its result, with an ``error`` if it did not end well."""
    entry = REGISTRY[name]
    seconds = min(entry.seconds, seconds_left - GRACE_SECONDS / 2)
    if seconds <= 0:
        return {"error": f"not measured: the {TOTAL_SECONDS // 60} minutes of all benchmarks were over"}
    print(f"{datetime.now(UTC):%H:%M:%S} {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.speed.measurement", entry.benchmark, str(file)]
        (Path(folder) / "earlier.json").write_text(json.dumps(earlier))
        command += ["--rounds", str(rounds), "--seconds", str(seconds), "--earlier", str(Path(folder) / "earlier.json")]
        status = run_limited(command, Path(folder) / "output.log", seconds + GRACE_SECONDS)
        result: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        if status and not is_complete(result, rounds):
            log = (Path(folder) / "output.log").read_text(errors="replace")
            print(log[-4000:], file=sys.stderr)
            last = (log.strip().splitlines() or ["no output"])[-1][:300]
            result["error"] = last if status > 0 else f"stopped after {seconds + GRACE_SECONDS:.0f} s"
    return result


def is_complete(result: Mapping[str, Any], rounds: int) -> bool:
    """Return whether every row was measured as often as wanted, or failed by itself."""
    rows = result.get("rows", {}).values()
    return bool(rows) and all(
        row["error"] or (row["values"] and all(len(values) >= rounds for values in row["values"].values()))
        for row in rows
    )


def run_limited(command: list[str], log: Path, timeout: float) -> int:
    """Run a command; return its status, negative if it took too long and was ended."""
    with log.open("w") as output:
        process = psutil.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, cwd=PAGE.parent.parent
        )
        status = -1
        try:
            with suppress(psutil.TimeoutExpired):
                status = process.wait(timeout)
        finally:  # also if this process is interrupted
            end_processes(process)
        return status


def end_processes(process: psutil.Popen) -> None:
    """End a process with all that it started: by an interrupt, after which it stops its servers, then by force."""
    with suppress(psutil.Error):
        started = process.children(recursive=True)
        process.send_signal(signal.SIGINT)
        with suppress(psutil.TimeoutExpired):
            process.wait(INTERRUPT_SECONDS)
        for each in (*started, process):
            with suppress(psutil.NoSuchProcess):
                each.kill()


def description(name: str, missing: dict[str, str]) -> dict[str, Any]:
    """Return when and where a benchmark ran, and the versions of what it compares with."""
    versions = {}
    for comparator in REGISTRY[name].comparators:
        versions[comparator] = missing.get(comparator) or comparators.versions(comparator)
    return {"date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "machine": machine.describe(), "comparators": versions}


def save(name: str, result: dict[str, Any]) -> None:
    """Replace the result of a benchmark, and write the page anew."""
    results = read_results()
    results[name] = result
    ordered = {name: results[name] for name in REGISTRY if name in results}
    write_page(ordered)


def texts(entry: Entry) -> dict[str, str]:
    """Return what a section says beside its numbers."""
    module, attribute = entry.benchmark.split(":")
    benchmark: Benchmark = getattr(importlib.import_module(module), attribute)
    return {"title": benchmark.title, "text": benchmark.text, "notes": benchmark.notes}


def write_page(results: Mapping[str, Any]) -> None:
    """Write results, and the page of all of them."""
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    gpu = json.loads(GPU_RESULTS.read_text(encoding="utf-8")) if GPU_RESULTS.exists() else None
    PAGE.write_text(performance_page.page(results, gpu), encoding="utf-8")


if __name__ == "__main__":
    main()
