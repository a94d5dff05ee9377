"""The command ``lightmeter read``."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lightmeter.files import check_output, format_of
from lightmeter.terminal.console import get_console, table

if TYPE_CHECKING:
    from rich.console import RenderableType

_HEADER = ("setting", "estimate", "90 % interval", "confidence", "EXIF", "stops above EXIF")


def read_files(files: Sequence[Path], model: Path, html: Path | None = None) -> None:
    """Print what a model says about photographs, beside their EXIF.

    Args:
        files: Photographs; one that is missing or unusable is reported with the reason.
        model: Run folder, or the name of a run.
        html: Page to write.

    Raises:
        typer.Exit: No photograph could be read.
        UsageError: The run or the page cannot be used.
    """
    if html:
        format_of(html, {".html": "html", ".htm": "html"}, default="html")
        check_output(html)
    from lightmeter.models.training.runs import open_run
    from lightmeter.read.estimates import read_photographs

    predictor = open_run(model)
    entries = read_photographs(predictor, files)
    if html:
        from lightmeter.read.page import write_page

        write_page(html, predictor, entries)
    parts = [part for entry in entries for part in _parts(entry)]
    get_console().emit(entries, [*parts, *([f"Page: {html}"] if html else [])])
    if all("error" in entry for entry in entries):
        raise typer.Exit(1)


def _parts(entry: Mapping[str, Any]) -> "Iterator[RenderableType]":
    """Yield what is printed for one photograph: its table and the input warnings, or the error."""
    if "error" in entry:
        yield f"{entry['file']}: {entry['error']['reason']}"
        return
    yield table(entry["file"], _HEADER, map(_row, entry["settings"].values()))
    yield from (warning["reason"] for warning in entry.get("warnings", ()))


def _row(setting: Mapping[str, Any]) -> tuple[object, ...]:
    estimate = setting["estimate"]
    if "angle_of_view" in setting:
        estimate = f"{estimate} ({setting['angle_of_view']:.0f}°)"
    return (
        setting["title"],
        estimate,
        f"{setting['low']} to {setting['high']}" if "low" in setting else None,
        f"{100 * setting['confidence']:.0f} %",
        setting.get("exif"),
        f"{setting['difference_stops']:+z.1f}" if "difference_stops" in setting else None,
    )
