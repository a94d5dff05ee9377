"""``lightmeter browse`` and ``lightmeter labels review``: look through the catalogue, and label photographs."""

import os
import sys
import webbrowser
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Literal

import typer

from lightmeter.harvest.commands.options import Where
from lightmeter.labels.commands.options import Author, TargetName, catalogue_engine, find_target
from lightmeter.project import Project, find_project
from lightmeter.terminal import completion, console
from lightmeter.terminal.commands import GLOBAL_OPTIONS, CommandGroup

app = typer.Typer(add_completion=False)
review_app = CommandGroup()

Queue = Annotated[
    Literal["all", "unjudged", "no-face", "disagreements", "label-issues"],
    typer.Option(
        help="Which photographs; unjudged: without a manual label; disagreements: EXIF of file and source differ."
    ),
]
Predictions = Annotated[
    str | None,
    typer.Option(metavar="RUN|FILE", help="Predictions to show: a run, or a file of 'models predict --out'."),
]
NoOpen = Annotated[bool, typer.Option("--no-open", help="Print the URL and do not open a web browser.")]


@app.command(epilog=GLOBAL_OPTIONS)
def browse(
    author: Author,
    query: Annotated[str, typer.Argument(help="Query, or words to search for (default: all photographs).")] = "",
    target: Annotated[
        str, typer.Option(help="Target to show and to label.", autocompletion=completion.plugin_names("targets"))
    ] = "",
    queue: Queue = "all",
    predictions: Predictions = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 = any free port (default: 8730, or a free one).")
    ] = None,
    no_open: NoOpen = False,
) -> None:
    """Look through the catalogue in the web browser: search, filter, group, compare and label photographs."""
    project = find_project()
    state = {"q": query, "target": target, "queue": "" if queue == "all" else queue}
    _serve(project, state, author, port, predictions=predictions, open_page=not no_open)


@review_app.command()
def review(  # noqa: PLR0913, PLR0917
    name: TargetName,
    author: Author,
    where: Where = "",
    queue: Queue = "all",
    sample: Annotated[int | None, typer.Option(min=1, help="Size of a random sample.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the sample.")] = 0,
    blind: Annotated[
        bool, typer.Option("--blind", help="Show photographs and your own labels alone: no EXIF, name or prediction.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 = any free port (default: 8730, or a free one).")
    ] = None,
    no_open: NoOpen = False,
) -> None:
    """Label photographs in the web browser with the keyboard; only this machine can open the page."""
    project, target = find_target(name)
    state = {"q": where, "target": target.name, "queue": "" if queue == "all" else queue}
    if sample is not None:
        state |= {"sample": str(sample), "seed": str(seed)}
    _serve(project, state, author, port, open_page=not no_open, blind=blind)


def _serve(
    project: Project,
    state: Mapping[str, str],
    author: str,
    port: int | None,
    *,
    predictions: str | None = None,
    open_page: bool,
    blind: bool = False,
) -> None:
    """Serve the browser until the user presses Ctrl-C; what is invalid in the state is refused at once."""
    from lightmeter.labels.browser.boxes import crops_by_kind
    from lightmeter.labels.browser.library import Library
    from lightmeter.labels.browser.predictions import read_predictions
    from lightmeter.labels.browser.server import BrowserServer, unused_port
    from lightmeter.labels.browser.session import Session
    from lightmeter.labels.browser.views import State
    from lightmeter.labels.targets.registry import list_targets

    targets = {name: entry.target for name, entry in list_targets(project).items()}
    given = read_predictions(project, predictions) if predictions else None
    with catalogue_engine(project) as engine:
        session = Session(
            Library(project, engine, author, given, blind=blind), targets, crops_by_kind(project.settings)
        )
        shown = {name: value for name, value in state.items() if value}
        if "target" in shown:
            shown["target"] = session.target(shown["target"]).name
        session.library.open_view(State.parse(list(shown.items())))
        with BrowserServer(session, unused_port() if port is None else port) as server, suppress(KeyboardInterrupt):
            url = server.page_url(shown)
            console.get_console().emit(
                {"url": url}, [f"Open {url}", "Press Ctrl-C to stop. Labels are saved immediately."]
            )
            if open_page and _has_display():
                webbrowser.open(url)
            server.wait()


def _has_display() -> bool:
    """Return whether somebody sits at a screen: a web browser in a terminal would take it over."""
    screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(screen) and sys.stdout.isatty()
