"""The card of a data set: what is in it, in words and tables, and whom to thank."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv
from sqlalchemy import Connection, select

from lightmeter.files import atomic_path, write_atomic
from lightmeter.harvest.catalogue.exif_view import read_table
from lightmeter.harvest.catalogue.models import Image, Sighting
from lightmeter.labels.annotations.photo_facts import id_ranges
from lightmeter.labels.datasets.counts import Facet, class_counts, class_table, facets
from lightmeter.labels.datasets.dataset import SPLITS, DatasetSpec, TargetSpec
from lightmeter.labels.datasets.plots import TOP, plot_classes, plot_facet, plot_values
from lightmeter.labels.datasets.shortcuts import Baseline

_ATTRIBUTION = ("file", "title", "owner", "licence", "attribution", "source", "source_id", "page_url", "media_url")


def write_card(
    folder: Path, spec: DatasetSpec, manifest: pa.Table, notes: Sequence[str], cheats: Mapping[str, Sequence[Baseline]]
) -> None:
    """Write ``README.md`` and the pictures in ``plots/``.

    Args:
        folder: of the data set.
        spec: of the data set.
        manifest: of the data set.
        notes: what a person should know, a sentence each.
        cheats: for each target, how well it is told without the picture.
    """
    for target in spec.targets:
        plot_classes(folder / "plots" / f"{target.name}-classes.png", target, manifest)
        plot_values(folder / "plots" / f"{target.name}-values.png", target, manifest)
    for facet in facets(manifest):
        plot_facet(folder / "plots" / f"{facet.title.lower()}.png", facet)
    write_atomic(folder / "README.md", "\n".join(_card(folder, spec, manifest, notes, cheats)) + "\n")


def write_attribution(folder: Path, connection: Connection, image_ids: NDArray[np.int64]) -> None:
    """Write ``ATTRIBUTION.csv``: every sighting of every photograph.

    Args:
        folder: of the data set.
        connection: to the catalogue.
        image_ids: the photographs.
    """
    texts = ("sha256", *_ATTRIBUTION)
    schema = pa.schema([("image_id", pa.int64()), *((name, pa.string()) for name in texts)])
    columns = [getattr(Sighting, name) for name in _ATTRIBUTION]
    with (
        atomic_path(folder / "ATTRIBUTION.csv") as temporary,
        csv.CSVWriter(temporary, pa.schema([schema.field(name) for name in texts])) as writer,
    ):
        for span in id_ranges(connection):
            query = select(Image.id, Image.sha256, *columns).join(Sighting, Sighting.image_id == Image.id)
            query = query.where(span.covers(Image.id)).order_by(Image.id, Sighting.id)
            seen = read_table(connection, query, schema)
            writer.write_table(seen.filter(pa.array(np.isin(seen["image_id"], image_ids))).select(texts))


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a Markdown table; numbers stand right."""
    numeric = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(headings))]
    yield "| " + " | ".join(headings) + " |"
    yield "|" + "|".join("---:" if right else "---" for right in numeric) + "|"
    for row in rows:
        yield "| " + " | ".join(_cell(value) for value in row) + " |"


def _cell(value: object) -> str:
    return "–" if value is None else " ".join(str(value).replace("|", "\\|").split())


def _card(
    folder: Path, spec: DatasetSpec, manifest: pa.Table, notes: Sequence[str], cheats: Mapping[str, Sequence[Baseline]]
) -> Iterator[str]:
    photographs = manifest.num_rows
    yield f"# {spec.name}"
    yield ""
    what = f"{photographs} crops ({spec.split['crop']})" if "crop" in spec.split else f"{photographs} photographs"
    yield (
        f"{what} in {spec.split['groups']} groups that never fall on two sides of the split "
        f"(kept together by: {', '.join(spec.split['group'])}). {' '.join(_choices(spec.split))}"
    )
    yield ""
    yield f"Manifest SHA-256: `{spec.manifest_sha256}` (Lightmeter {spec.split['lightmeter']})."
    yield ""
    if notes:
        yield from ["## What to know", "", *(f"- {note}" for note in notes), ""]
    for target in spec.targets:
        yield from _target(folder, spec, target, manifest)
        yield from _cheats(cheats[target.name])
    for facet in facets(manifest):
        yield from _facet(folder, facet)
    yield "Everyone to thank stands in `ATTRIBUTION.csv`."


def _choices(choices: Mapping[str, Any]) -> Iterator[str]:
    """Yield how the photographs were chosen and dealt out, a sentence each."""
    if choices["where"]:
        yield f"Chosen by the query `{choices['where']}`."
    if choices.get("folds"):
        yield f"Fold {choices['fold']} of {choices['folds']} is the test side, the next one the validation side."
    elif choices.get("holdout_source"):
        yield f"The test side is the source {choices['holdout_source']}, with all that belongs to its groups."
    else:
        yield f"Ratios {'/'.join(f'{100 * ratio:g}' for ratio in choices['ratios'])}."
    yield f"Seed {choices['seed']}."


def _target(folder: Path, spec: DatasetSpec, target: TargetSpec, manifest: pa.Table) -> Iterator[str]:
    yield from [f"## {target.name} (definition {target.version})", ""]
    counts = class_counts(manifest, target)
    sums = {side: sum(of[side] for of in counts.values()) for side in SPLITS}
    yield from markdown_table(*class_table(spec, {**counts, "all": sums}))
    yield ""
    for plot in (f"{target.name}-classes.png", f"{target.name}-values.png"):
        if (folder / "plots" / plot).is_file():
            yield from [f"![{plot.removesuffix('.png')}](plots/{plot})", ""]


def _cheats(found: Sequence[Baseline]) -> Iterator[str]:
    measure = found[0].measure
    photographs = f"{found[0].photographs} photographs"
    yield f"What a model could cheat with: {measure} without the picture, cross-validated over groups ({photographs})."
    yield ""
    rows = [(one.name, _percent(one.score), f"{_percent(one.low)} to {_percent(one.high)}") for one in found]
    yield from markdown_table(("known", f"{measure} in %", "95 % interval"), rows)
    yield ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _facet(folder: Path, facet: Facet) -> Iterator[str]:
    yield from [f"## {facet.title}", ""]
    rows: list[tuple[Any, ...]] = [(name, sum(of.values()), *of.values()) for name, of in facet.rows]
    shown = rows if facet.title == "Years" else rows[:TOP]
    yield from markdown_table((facet.title.lower().rstrip("s"), "photographs", *SPLITS), shown)
    if len(rows) > len(shown):
        rest = sum(row[1] for row in rows) - sum(row[1] for row in shown)
        yield from [
            "",
            f"and {len(rows) - len(shown)} more, with {rest} photographs.",
        ]
    yield ""
    plot = f"{facet.title.lower()}.png"
    if (folder / "plots" / plot).is_file():
        yield from [f"![{facet.title}](plots/{plot})", ""]
