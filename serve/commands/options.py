"""Options and look-ups that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightmeter.errors import UsageError
from lightmeter.plugins import unknown_name_message
from lightmeter.project import find_project
from lightmeter.terminal import completion

if TYPE_CHECKING:
    from lightmeter.project import Project
    from lightmeter.serve.torchserve.state import ServerDirectory

ServerOption = Annotated[
    str,
    typer.Option("--server", help="Name of the server, if the project has several.", autocompletion=completion.servers),
]
ArchiveArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MAR", help="Archive of a new version of a served model.", autocompletion=completion.archives
    ),
]


def server_directory_of(server: str) -> "ServerDirectory":
    """Return the folder of a server of the project.

    Raises:
        UsageError: The project has other servers, but not this one.
    """
    from lightmeter.serve.torchserve.state import server_directory

    directory, others = server_directory(find_project(), server), completion.servers("")
    if others and not directory.path.exists():
        raise UsageError(unknown_name_message("server", server, others))
    return directory


def find_archive(project: "Project", archive: Path) -> Path:
    """Return the path of an archive that is given as a path or by its model's name in the project."""
    named = project.archives / (archive.name if archive.suffix == ".mar" else f"{archive.name}.mar")
    if archive.exists() or len(archive.parts) > 1:
        return archive
    if not named.is_file() and completion.archives(""):
        raise UsageError(unknown_name_message("archive", archive.name, completion.archives("")))
    return named if named.is_file() else archive
