"""The card of a data set: what is in it, in words and tables, and whom to thank."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from sqlalchemy import Connection, select

from harvest.catalogue.tables import Image, Sighting
from labels.baselines import Baseline
from labels.counts import class_counts
from labels.dataset import SPLITS, Spec, TargetSpec
from labels.evidence import Span
from labels.plots import plot_classes, plot_values
from lightmeter.files import atomic_path, write_atomic

_TOP = 15
_BATCH = 5_000
_ATTRIBUTION = ("file", "title", "owner", "licence", "attribution", "source", "source_id", "page_url", "media_url")


def write(
    folder: Path, spec: Spec, manifest: pa.Table, notes: Sequence[str], cheats: Mapping[str, Sequence[Baseline]]
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
    write_atomic(folder / "README.md", "\n".join(_card(folder, spec, manifest, notes, cheats)) + "\n")


def write_attribution(folder: Path, connection: Connection, image_ids: Sequence[int]) -> None:
    """Write ``ATTRIBUTION.csv``: every sighting of every photograph.

    Args:
        folder: of the data set.
        connection: to the catalogue.
        image_ids: the photographs.
    """
    columns = [getattr(Sighting, name) for name in _ATTRIBUTION]
    with (
        atomic_path(folder / "ATTRIBUTION.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("sha256", *_ATTRIBUTION))
        for start in range(0, len(image_ids), _BATCH):
            batch = image_ids[start : start + _BATCH]
            query = select(Image.sha256, *columns).join(Sighting, Sighting.image_id == Image.id)
            query = query.where(Span(batch).holds(Image.id)).order_by(Image.id, Sighting.id)
            writer.writerows(tuple(row) for row in connection.execute(query))


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
    folder: Path, spec: Spec, manifest: pa.Table, notes: Sequence[str], cheats: Mapping[str, Sequence[Baseline]]
) -> Iterator[str]:
    photographs = manifest.num_rows
    yield f"# {spec.name}"
    yield ""
    yield (
        f"{photographs} photographs in {spec.split['groups']} groups that never fall on two sides of the split "
        f"(kept together by: {', '.join(spec.split['group'])}). Seed {spec.split['seed']}, ratios "
        f"{'/'.join(f'{100 * ratio:g}' for ratio in spec.split['ratios'])}."
    )
    yield ""
    yield f"Manifest SHA-256: `{spec.manifest_sha256}` (Lightmeter {spec.split['lightmeter']})."
    yield ""
    if notes:
        yield from ["## What to know", "", *(f"- {note}" for note in notes), ""]
    for target in spec.targets:
        yield from _target(folder, target, manifest)
        yield from _cheats(cheats[target.name])
    yield from _tops(manifest)
    yield "Everyone to thank stands in `ATTRIBUTION.csv`."


def _target(folder: Path, target: TargetSpec, manifest: pa.Table) -> Iterator[str]:
    yield from [f"## {target.name} (definition {target.version})", ""]
    counts = class_counts(manifest, target)
    sums: dict[str, int] = {side: sum(of[side] for of in counts.values()) for side in SPLITS}
    rows = [(name, *of.values(), _shares(of)) for name, of in counts.items()]
    yield from markdown_table(("class", *SPLITS, "shares in %"), [*rows, ("all", *sums.values(), _shares(sums))])
    yield ""
    for plot in (f"{target.name}-classes.png", f"{target.name}-values.png"):
        if (folder / "plots" / plot).is_file():
            yield from [f"![{plot.removesuffix('.png')}](plots/{plot})", ""]


def _cheats(found: Sequence[Baseline]) -> Iterator[str]:
    yield from ["What a model could cheat with: accuracy without the picture, cross-validated over groups.", ""]
    rows = [(one.name, _percent(one.accuracy), f"{_percent(one.low)} to {_percent(one.high)}") for one in found]
    yield from markdown_table(("known", "accuracy in %", "95 % interval"), rows)
    yield ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _shares(of: dict[str, int]) -> str:
    total = sum(of.values())
    return " / ".join(f"{100 * count / total:.0f}" for count in of.values()) if total else "–"


def _tops(manifest: pa.Table) -> Iterator[str]:
    for title, columns in (
        ("Licences", ("licence",)),
        ("Sources", ("source",)),
        ("Cameras", ("make", "model")),
        ("Photographers", ("owner",)),
    ):
        counted = manifest.group_by(list(columns)).aggregate([([], "count_all")]).to_pylist()
        found = [(tuple(row[name] for name in columns), row["count_all"]) for row in counted]
        ordered = sorted(found, key=lambda item: (-item[1], [str(part) for part in item[0]]))
        yield from [f"## {title}", ""]
        rows = [(" ".join(str(part) for part in parts if part) or None, count) for parts, count in ordered]
        yield from markdown_table((title.lower().rstrip("s"), "photographs"), rows[:_TOP])
        if len(rows) > _TOP:
            yield from ["", f"and {len(rows) - _TOP} more."]
        yield ""
