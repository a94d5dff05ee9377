"""The ``lightmeter`` command; its subcommands are entry points of the group ``lightmeter.terminal.commands``."""

import io
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter import __version__, plugins
from lightmeter.errors import Interrupted, LightmeterError, UsageError, is_disk_full
from lightmeter.terminal import console
from lightmeter.terminal.commands import GLOBAL_OPTIONS, SuggestingGroup
from lightmeter.terminal.console import Console, get_console, table

if TYPE_CHECKING:
    from lightmeter.doctor import Check

_GLOBAL_FLAGS = ("--json", "--quiet", "--debug")
_MAX_MESSAGE = 1500
_NO_CHOICE = re.compile(r"(?:Value error, )?'([^']*)' is not one of ((?:'[^']*'(?:, )?)+)\.?$")
_NAME = "lightmeter"
_COMPLETION_VARIABLE = f"_{_NAME.upper()}_COMPLETE"
_ZSH_FIRST_TAB = (
    "\ncompdef %(complete_func)s %(prog_name)s",
    '\n[ "$funcstack[1]" = "_%(prog_name)s" ] && %(complete_func)s "$@" || compdef %(complete_func)s %(prog_name)s',
)
"""Typer's line that registers the completion, and one that also completes: zsh reads the file at the first tab."""

_SYMBOLS = {"ok": "✓", "missing": "–", "error": "✗"}


class _LazyGroup(SuggestingGroup):
    """A group that imports a subcommand when it is used, so that ``--help`` answers quickly."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted({*super().list_commands(ctx), *plugins.installed("commands")})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        plugin = plugins.installed("commands").get(cmd_name)
        if command is not None or plugin is None:
            return command
        try:
            command = typer.main.get_command(plugin.load())
        except LightmeterError as error:
            get_console().note(str(error))
            return None
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_LazyGroup,
    help="Predict camera settings from photographs: harvest, label, train, serve.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog=f"{GLOBAL_OPTIONS} They can be given anywhere on the command line.",
)


def _print_version(show: bool) -> None:
    if show:
        print(f"lightmeter {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def root(
    project: Annotated[
        Path | None, typer.Option(help="Project folder (default: nearest parent with lightmeter.toml).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Suppress progress and hints.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Declare the global options; `main` has already applied them."""


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Project folder.")] = Path()) -> None:
    """Create a project (settings, catalogue, photo store)."""
    from lightmeter.harvest.catalogue.database.migrate import upgrade
    from lightmeter.harvest.catalogue.database.session import connect
    from lightmeter.project import SETTINGS_FILE, create_project

    project = create_project(folder)
    engine, _ = connect(project)
    upgrade(engine)
    engine.dispose()
    get_console().emit(
        {"project": project.root, "settings": project.root / SETTINGS_FILE, "store": project.store.url},
        f"Created a project in {project.root}",
    )
    get_console().next_step("harvest run folder PHOTOGRAPHS", *_project_option(project.root))


@app.command()
def doctor() -> None:
    """Check the installation and suggest fixes."""
    from lightmeter.doctor import run_checks
    from lightmeter.project import find_optional_project

    checks = run_checks(find_optional_project())
    get_console().emit(
        [asdict(check) for check in checks],
        [
            table("", ("", "check", "result", "action"), [_check_row(check) for check in checks if not check.extra]),
            table(
                "",
                ("", "extra", "what it adds"),
                [(_SYMBOLS[check.status], check.extra, check.result) for check in checks if check.extra],
            ),
            "Install an extra with: pip install 'lightmeter[EXTRA]'",
        ],
    )
    if any(check.status == "error" for check in checks):
        raise typer.Exit(1)


@app.command(epilog=GLOBAL_OPTIONS)
def read(
    files: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photographs.")],
    model: Annotated[
        Path, typer.Option(help="Run folder, or the name of a run of this project (default: the model that ships).")
    ] = Path("default"),
    html: Annotated[Path | None, typer.Option(help="HTML page to write, with the patches that counted.")] = None,
) -> None:
    """Estimate how photographs were made: aperture, shutter speed, ISO, focal length, film or digital."""
    from lightmeter.read.command import read_files

    read_files(files, model, html)


@app.command()
def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder to create.", show_default="lightmeter-demo, or with a number if that exists"),
    ] = None,
    count: Annotated[int, typer.Option(min=30, help="Number of photographs.")] = 240,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Run the full pipeline on simulated photographs, from a local website to a served model."""
    from lightmeter.demo.runner import run_demo, unused_folder

    run_demo(folder or unused_folder(), count=count, seed=seed)


def run(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="lightmeter-ascii")  # what the terminal's encoding lacks
    try:
        code = main(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as 'head', has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def main(argv: Sequence[str]) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program name.

    Returns:
        Exit code: 0 success, 1 failure, 2 incorrect use, 130 interrupted.

    Example:
        >>> main(["--version"])
        lightmeter 0.1.0
        0
    """
    global_options, args = _split_global_options(argv)
    selected = _console_for(global_options or _options_before_completion())
    with console.use_console(selected):
        try:
            if _handle_completion(args):
                return 0
            command = typer.main.get_command(app)
            code = command.main([*global_options, *args], prog_name=_NAME, standalone_mode=False)
        except BrokenPipeError:
            raise
        except (KeyboardInterrupt, typer.Abort):
            code = Interrupted.exit_code
        except Exception as error:
            if selected.debug:
                raise
            if message := _shortened(_error_message(error)):
                selected.fail(message, error.details if isinstance(error, LightmeterError) else [])
            return getattr(error, "exit_code", 1)
        if code == Interrupted.exit_code:  # returned for Ctrl-C by the command-line parser
            selected.fail("Interrupted.")
    return code if isinstance(code, int) else 0


def _handle_completion(args: Sequence[str]) -> bool:
    """Install or show completion for a shell that is named; Typer's own options detect the running shell only."""
    if not args or args[0] not in {"--install-completion", "--show-completion"}:
        return False
    from typer._completion_shared import Shells, _completion_scripts, get_completion_script, install

    _completion_scripts["zsh"] = _completion_scripts["zsh"].replace(*_ZSH_FIRST_TAB)
    if len(args) != 2:
        return False
    if args[1] not in set(Shells):
        raise UsageError(plugins.unknown_name_message("shell", args[1], list(Shells)))
    if args[0] == "--show-completion":
        print(get_completion_script(prog_name=_NAME, complete_var=_COMPLETION_VARIABLE, shell=args[1]))  # noqa: T201
    else:
        shell, path = install(shell=args[1], prog_name=_NAME)
        get_console().emit({"shell": shell, "file": path}, f"Completion for {shell}: {path}. Restart the terminal.")
    return True


def _options_before_completion() -> list[str]:
    """Return the global options of the command line that a shell completes; its words are in the environment."""
    if _COMPLETION_VARIABLE not in os.environ:
        return []
    from click.shell_completion import split_arg_string

    typed = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    return _split_global_options(split_arg_string(typed))[0]


def _project_option(root: Path) -> list[str]:
    """Return the option that selects a project, unless commands of this folder find it anyhow."""
    return [] if root == Path.cwd() or root in Path.cwd().parents else ["--project", str(root)]


def _check_row(check: "Check") -> tuple[str, str, str, str]:
    return _SYMBOLS[check.status], check.name, check.result, check.action


def _split_global_options(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate the global options, so that ``harvest status --json`` means ``--json harvest status``."""
    global_options: list[str] = []
    args: list[str] = []
    remaining = iter(argv)
    for arg in remaining:
        if arg == "--":
            args += [arg, *remaining]
        elif arg in _GLOBAL_FLAGS or arg.startswith("--project="):
            global_options.append(arg)
        elif arg == "--project":
            global_options += [arg, *[value for value in (next(remaining, None),) if value is not None]]
        else:
            args.append(arg)
    return global_options, args


def _console_for(global_options: list[str]) -> Console:
    project = None
    for index, option in enumerate(global_options):
        if option == "--project" and index + 1 < len(global_options):
            project = Path(global_options[index + 1])
        elif option.startswith("--project="):
            project = Path(option.removeprefix("--project="))
    return Console(
        json="--json" in global_options,
        quiet="--quiet" in global_options,
        debug="--debug" in global_options,
        project=project,
    )


def _shortened(message: str) -> str:
    """Return a message without the middle of what it quotes, if that is long."""
    if len(message) <= _MAX_MESSAGE:
        return message
    return f"{message[: _MAX_MESSAGE * 3 // 4]} … {message[-_MAX_MESSAGE // 4 :]}"


def _with_nearest_choice(message: str) -> str:
    """Return a message about a value that is no choice of an option with the nearest choices."""
    wrong = _NO_CHOICE.search(message)
    if wrong is None:
        return message
    return message[: wrong.start()] + plugins.unknown_name_message(
        "value", wrong[1], re.findall(r"'([^']*)'", wrong[2])
    )


def _error_message(error: Exception) -> str:
    """Return the message of an error; empty if the help was shown instead."""
    if isinstance(error, LightmeterError):
        return str(error)
    format_message = getattr(error, "format_message", None)
    if callable(format_message):  # a usage error of the command-line parser
        context = getattr(error, "ctx", None)
        message = _with_nearest_choice(" ".join(format_message().split()))
        period = "" if message.endswith((".", "?")) else "."
        return message and f"{message}{period} See '{context.command_path if context else 'lightmeter'} --help'."
    if is_disk_full(error):
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        return f"The disk is full{where}; free some space and run the command again."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first_line} (run with --debug for the traceback)."
