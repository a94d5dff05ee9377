"""The root command. Its sub-commands are entry points of the group ``lightmeter.commands``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from lightmeter import __version__, console, plugins
from lightmeter.console import Console
from lightmeter.errors import LightmeterError

if TYPE_CHECKING:
    from lightmeter.doctor import Check

_EVERYWHERE_FLAGS = ("--json", "--quiet", "--debug")


class _Commands(TyperGroup):
    """A group that also holds every installed command, imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted({*super().list_commands(ctx), *plugins.installed("commands")})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        found = plugins.installed("commands").get(cmd_name)
        if own is not None or found is None:
            return own
        try:
            command = typer.main.get_command(found.load())
        except LightmeterError as error:
            console.get_console().note(str(error))
            return None
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Commands,
    help="Reads how a photograph was made: harvest photographs, label them, train on them, serve what was learned.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="--project, --json, --quiet and --debug may stand anywhere on the command line.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"lightmeter {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def root(
    project: Annotated[
        Path | None, typer.Option(help="Project folder; else the nearest one that holds lightmeter.toml.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no notes.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Take the options that every command knows; `run` has put them into the current console already."""


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Folder of the project.")] = Path()) -> None:
    """Make a project: settings, an empty catalogue, a photo store."""
    from lightmeter.project import create_project

    project = create_project(folder)
    console.get_console().emit(
        {"project": project.root, "settings": project.root / "lightmeter.toml", "store": project.store},
        f"Project in {project.root}\nNext: lightmeter harvest run folder PHOTOGRAPHS",
    )


@app.command()
def doctor() -> None:
    """Say what works here, and what to do about what does not."""
    from lightmeter.doctor import run_checks
    from lightmeter.project import find_optional_project

    checks = run_checks(find_optional_project())
    console.get_console().emit(
        [check.as_dict() for check in checks],
        console.table("", ("", "what", "found", "to do"), [_row(check) for check in checks]),
    )
    if any(check.state == "broken" for check in checks):
        raise typer.Exit(1)


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder that it makes.", show_default="lightmeter-demo, or the next free name")
    ] = None,
    count: Annotated[int, typer.Option(min=60, help="Photographs to take.")] = 240,
    seed: Annotated[int, typer.Option(help="Other seed, other scenes.")] = 0,
) -> None:
    """Run the whole chain on photographs that it makes itself, from a site that it serves itself."""
    from lightmeter.demo.runner import free_folder, run_demo

    run_demo(folder or free_folder(), count=count, seed=seed)


def _row(check: "Check") -> tuple[str, str, str, str]:
    return {"fine": "✓", "missing": "–", "broken": "✗"}[check.state], check.what, check.found, check.to_do


def run(argv: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    sys.exit(main(sys.argv[1:] if argv is None else argv))


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""
    everywhere, rest = _hoist(argv)
    chosen = _console(everywhere)
    with console.use_console(chosen):
        try:
            code = typer.main.get_command(app).main([*everywhere, *rest], prog_name="lightmeter", standalone_mode=False)
        except Exception as error:
            if chosen.debug:
                raise
            if sentence := _sentence(error):
                chosen.fail(sentence)
            return getattr(error, "exit_code", 1)
    return code if isinstance(code, int) else 0


def _hoist(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split off the options that may stand anywhere, so that `harvest status --json` is `--json harvest status`."""
    everywhere: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in _EVERYWHERE_FLAGS or word.startswith("--project="):
            everywhere.append(word)
        elif word == "--project":
            everywhere += [word, *[value for value in (next(words, None),) if value is not None]]
        else:
            rest.append(word)
    return everywhere, rest


def _console(everywhere: list[str]) -> Console:
    project = None
    for index, word in enumerate(everywhere):
        if word == "--project" and index + 1 < len(everywhere):
            project = Path(everywhere[index + 1])
        elif word.startswith("--project="):
            project = Path(word.removeprefix("--project="))
    return Console(
        json="--json" in everywhere,
        quiet="--quiet" in everywhere,
        debug="--debug" in everywhere,
        project=project,
    )


def _sentence(error: Exception) -> str:
    """Return what a person should read of an error; nothing if the help was shown instead."""
    if isinstance(error, LightmeterError):
        return str(error)
    wording = getattr(error, "format_message", None)
    if callable(wording):  # the command line itself was wrong
        context = getattr(error, "ctx", None)
        said = wording().strip()
        stop = "" if said.endswith((".", "?")) else "."
        return said and f"{said}{stop} See '{context.command_path if context else 'lightmeter'} --help'."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    said = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {said} (run again with --debug to see where)."
