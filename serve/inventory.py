"""List and remove the archives and servers of a project."""

import shutil
from typing import Any

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.project import Project
from lightmeter.serve.archive import check_archive
from lightmeter.serve.torchserve.state import ServerDirectory, server_directory


def list_archives(project: Project) -> list[dict[str, Any]]:
    """Return the archives of a project; one that is damaged does not hide the others."""
    users: dict[str, list[str]] = {}
    for server in list_servers(project):
        for sha256 in server["archives"] if server["running"] else ():
            users.setdefault(sha256, []).append(server["name"])
    rows = []
    for file in sorted(project.archives.glob("*.mar")):
        row: dict[str, Any] = {"name": file.stem, "path": str(file), "bytes": file.stat().st_size}
        try:
            archive = check_archive(file)
            row |= {"version": archive.version, "dataset": archive.dataset, "problem": None}
            row["served_by"] = users.get(archive.sha256, [])
        except UsageError as error:
            row |= {"version": None, "dataset": None, "problem": str(error), "served_by": []}
        rows.append(row)
    return rows


def list_servers(project: Project) -> list[dict[str, Any]]:
    """Return the servers of a project, running or stopped."""
    folder = project.state / "serve"
    rows = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not path.is_dir() or path.name.startswith("."):
            continue
        try:
            state = ServerDirectory(path).read()
        except LightmeterError:
            rows.append({"name": path.name, "running": False, "models": [], "archives": [], "address": None})
            continue
        running = state is not None and state.is_running
        models = state.models if state else ()
        rows.append(
            {
                "name": path.name,
                "running": running,
                "models": [f"{model.name} {model.version}" for model in models],
                "archives": [model.sha256 for model in models],
                "address": state.inference if state and running else None,
            }
        )
    return rows


def remove_server(project: Project, name: str) -> None:
    """Remove the settings, logs and copies of archives of a stopped server.

    Raises:
        LightmeterError: Another command is starting it.
    """
    directory = server_directory(project, name)
    with directory.lock():
        shutil.rmtree(directory.path)
