"""The commands in documents and deployment files exist, with their options; so do the settings."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from lightmeter.cli import app
from lightmeter.settings import Settings
from tests.support import ROOT

DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "sources").glob("*.md")),
]
DEPLOYMENT = sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file() and path.suffix != ".json")
GENERATED = {"cli.md", "api.md", "settings.md", "limits.md"}
GLOBAL = {"--json", "--quiet", "--debug"}
PLACEHOLDERS = ("…", "[", "|", "$", "*", "<")
"""What only patterns of commands have, or what a shell replaces."""


def commands(document: Path) -> Iterator[list[str]]:
    """Yield the arguments of each ``lightmeter`` command in the code blocks of a document."""
    for block in re.findall(
        r"^ *```(?:console|sh|bash)?\n(.*?)^ *```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.strip().removeprefix("$ ").split("&&"):
                command = re.split(r"#|> |\s{2,}", part.strip())[0].strip()
                if command.startswith("lightmeter ") and not any(sign in command for sign in PLACEHOLDERS):
                    yield shlex.split(command)[1:]


def deployed_commands(text: str) -> Iterator[list[str]]:
    """Yield the arguments of each ``lightmeter`` command in a deployment file: of shells, units and containers."""
    for arguments in re.findall(r"(?:^|[ /'])lightmeter ([a-z][^;|&\"'#\n]*)", text, re.MULTILINE):
        yield shlex.split(arguments)
    for arguments in re.findall(r"compose run --rm discover (.+)", text):
        yield shlex.split(arguments)
    for arguments in re.findall(r"^ *(?:CMD|args:) (\[\W?[a-z].*\])", text, re.MULTILINE):
        yield yaml.safe_load(arguments)


def check(args: Sequence[str]) -> None:
    """Parse a command line without running it."""
    command: Any = get_command(app)
    context = command.context_class(command, info_name="lightmeter")
    rest = [arg for arg in args if arg not in GLOBAL]
    if "--project" in rest[:1]:
        rest = rest[2:]
    while hasattr(command, "get_command") and not rest[0].startswith("-"):
        name, *rest = rest
        command = command.get_command(context, name)
        assert command is not None, f"there is no command '{name}'"
        context = command.context_class(command, parent=context, info_name=name)
    _, left, _ = command.make_parser(context).parse_args(list(rest))
    assert not left, f"too many arguments: {left}"


@pytest.mark.parametrize(
    "document", [path for path in DOCUMENTS if path.name not in GENERATED], ids=lambda path: path.name
)
def test_commands_of_the_documents_exist(document: Path) -> None:
    problems = []
    for args in commands(document):
        try:
            check(args)
        except Exception as error:  # noqa: BLE001 - the parser's errors are typer's own
            problems.append(f"lightmeter {shlex.join(args)}: {getattr(error, 'message', error)}")
    assert not problems, "\n".join(problems)


def test_commands_and_settings_of_the_deployment_files_exist() -> None:
    checked = 0
    for text in (path.read_text(encoding="utf-8") for path in DEPLOYMENT):
        for args in deployed_commands(text):
            check(args)
            checked += 1
        for section, name in re.findall(r"LIGHTMETER_([A-Z]+)__([A-Z_]+)", text):
            fields: Any = type(getattr(Settings(), section.lower())).model_fields
            assert name.lower() in fields
    assert checked > 10


def test_tutorial_has_the_commands_of_every_layer() -> None:
    names = [args[0] for args in commands(ROOT / "docs" / "tutorial.md")]
    assert list(dict.fromkeys(names)) == [
        "--install-completion",
        "doctor",
        "read",
        "init",
        "harvest",
        "labels",
        "models",
        "serve",
    ]
