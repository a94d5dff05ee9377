"""Command that converts published splits to a file for ``labels split --like``."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lightmeter.files import check_output, write_output
from lightmeter.terminal import console
from lightmeter.terminal.commands import CommandGroup
from lightmeter.text.numbers import counted
from lightmeter.text.spreadsheets import quote_cell

app = CommandGroup()

Row = tuple[str, ...]


@app.command(name="published-split")
def published_split(
    splits: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder data/splits/FlickrExif of its authors.")],
    attribute: Annotated[
        list[str] | None, typer.Option(help="Attribute of FlickrExif, for example aperture (repeatable; default: all).")
    ] = None,
    out: Annotated[Path, typer.Option(help="Output file.")] = Path("flickr-exif.csv"),
) -> None:
    """Convert the published splits of FlickrExif to a file for labels split --like.

    Photographs in different splits, for example in training for one attribute and in test for another, are left out and
    listed in a second file.
    """
    from lightmeter.harvest.sources.flickr_exif.source import FlickrExif
    from lightmeter.harvest.sources.flickr_exif.splits import (
        ATTRIBUTES,
        consistent_split,
        read_splits,
        trains_and_tests,
    )
    from lightmeter.labels.datasets.manifest import label_column

    excluded_file = out.with_name(f"{out.stem}-excluded.csv")
    for file in (out, excluded_file):
        check_output(file)
    photographs = read_splits(splits, attribute or [])
    existing = {value.attribute for assignments in photographs.values() for value in assignments}
    names = [name for name in ATTRIBUTES if name in existing]
    rows: list[Row] = []
    excluded: list[Row] = []
    train_and_test = 0
    for photo_id, assignments in photographs.items():
        if split := consistent_split(assignments):
            labels = {value.attribute: value.label for value in assignments}
            rows.append((FlickrExif.name, photo_id, split, *(labels.get(name, "") for name in names)))
        else:
            memberships = " ".join(f"{value.attribute}:{value.split}" for value in assignments)
            excluded.append((FlickrExif.name, photo_id, memberships))
            train_and_test += trains_and_tests(assignments)
    columns = ["label"] if len(names) == 1 else [label_column(name) for name in names]
    write_output(out, _csv(("source", "source_id", "split", *columns), rows))
    write_output(excluded_file, _csv(("source", "source_id", "splits"), excluded))
    left_out = (
        f"Left out: {counted(len(excluded), 'photograph')} in different splits, {train_and_test} of them in "
        f"training for one attribute and in test for another: {excluded_file}"
    )
    console.get_console().emit(
        {
            "file": out,
            "photographs": len(rows),
            "excluded": len(excluded),
            "train_and_test": train_and_test,
            "excluded_file": excluded_file,
        },
        [f"{counted(len(rows), 'photograph')}: {out}", *([left_out] if excluded else [])],
    )


def _csv(columns: Row, rows: Sequence[Row]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([columns, *([quote_cell(cell) for cell in row] for row in rows)])
    return text.getvalue()
