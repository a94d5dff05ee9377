"""The card of a data set (``README.md`` and ``card.html``), its plots, photographs and attributions."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup
from numpy.typing import NDArray
from pyarrow import csv
from sqlalchemy import Connection, select

from lightmeter.bootstrap import format_estimate
from lightmeter.exposure import format_number
from lightmeter.files import atomic_path, write_atomic
from lightmeter.harvest.catalogue.exif_view import read_table
from lightmeter.harvest.catalogue.models import Image, SightingRecord
from lightmeter.harvest.exif.columns import EXIF_COLUMNS
from lightmeter.harvest.licences import spdx_identifier
from lightmeter.labels.annotations.photo_facts import id_ranges
from lightmeter.labels.datasets.card.citation import author_name
from lightmeter.labels.datasets.card.photographs import SAMPLES, CardPhotographs
from lightmeter.labels.datasets.card.plots import MAX_ROWS, class_plot, facet_plot, value_plot
from lightmeter.labels.datasets.card.shortcuts import Baseline
from lightmeter.labels.datasets.dataset import Dataset, SplitCounts, class_counts, count_by_split
from lightmeter.labels.datasets.manifest import SPLITS
from lightmeter.labels.datasets.names import ATTRIBUTION_FILE
from lightmeter.labels.datasets.spec import DatasetSpec, TargetSpec
from lightmeter.store.base import PhotoStore
from lightmeter.style import document_environment
from lightmeter.text.names import common_spellings, name_key
from lightmeter.text.numbers import counted
from lightmeter.text.spreadsheets import FORMULA

CARD_PAGE = "card.html"

_ATTRIBUTION = ("file", "title", "owner", "licence", "attribution", "source", "source_id", "page_url", "media_url")

Row = tuple[str | None, SplitCounts]


def write_card(
    dataset: Dataset, store: PhotoStore, advisories: Sequence[str], baselines: Mapping[str, Sequence[Baseline]]
) -> None:
    """Write ``README.md``, ``card.html``, ``plots/`` and ``samples/``.

    Args:
        dataset: Data set with its future name and its table of attributions.
        store: Store of its photographs.
        advisories: What a user should know, one sentence each.
        baselines: Shortcut baselines by target name.
    """
    spec, facets = dataset.spec, count_facets(dataset.manifest)
    plots = {title.lower(): facet_plot(title, rows) for title, rows in facets.items()}
    for target in spec.targets:
        values = value_plot(target, dataset.manifest)
        plots[f"{target.name}-classes"] = class_plot(target, dataset.manifest)
        plots |= {f"{target.name}-values": values} if values else {}
    for name, plot in plots.items():
        write_atomic(dataset.folder / "plots" / f"{name}.svg", plot.svg_file())
    photographs = CardPhotographs(dataset, store)
    context = {
        "spec": spec,
        "split": {
            "crop": "",
            "folds": 0,
            "group_by": (),
            "holdout_source": "",
            "like": {},
            "where": "",
            "extends": {},
            **spec.split,
        },
        "answer": answer(dataset, baselines),
        "size": dataset.manifest.num_rows,
        "authors": "; ".join(author_name(author) for author in spec.publication.authors),
        "ratios": "/".join(f"{100 * ratio:g}" for ratio in spec.split["ratios"]),
        "advisories": advisories,
        "targets": [_target_section(dataset, target, baselines[target.name], plots) for target in spec.targets],
        "samples": {target.name: photographs.samples(target) for target in spec.targets},
        "samples_folder": SAMPLES,
        "facets": [_facet_section(title, rows) for title, rows in facets.items()],
        "plots": {name: Markup(plot.svg()) for name, plot in plots.items()},  # noqa: S704 - matplotlib escapes text
    }
    environment = document_environment("lightmeter.labels.datasets.card")
    environment.filters |= {"cell": _cell, "url": quote}
    for file in ("README.md", CARD_PAGE):
        write_atomic(dataset.folder / file, environment.get_template(f"{file}.jinja").render(context))


def answer(dataset: Dataset, baselines: Mapping[str, Sequence[Baseline]]) -> str:
    """Return in one sentence what a data set is good for."""
    spec, manifest = dataset.spec, dataset.manifest
    owners = len({*map(name_key, pc.unique(manifest["owner"].drop_null()).to_pylist())})
    photographers = f" of {counted(owners, 'photographer')}" if owners else ""
    items = counted(manifest.num_rows, "crop" if spec.split.get("crop") else "photograph")
    parts = [_predictability(target, baselines[target.name]) for target in spec.targets]
    splits = " / ".join(f"{count:,} {split}" for split, count in spec.counts.items())
    apart = "" if spec.split.get("like") else ", no group in two splits"
    return f"{items}{photographers} ({splits}{apart}): {'; '.join(parts)}."


def _predictability(target: TargetSpec, baselines: Sequence[Baseline]) -> str:
    """Return how well a target is predicted without looking at the photographs."""
    first, *others = baselines
    best = max(others, key=lambda baseline: baseline.value)
    text = f"{target.name} has {counted(len(target.classes), 'class', 'classes')}"
    return (
        f"{text}, which the best shortcut ({best.name}) predicts with {100 * best.value:.0f}\N{NO-BREAK SPACE}% "
        f"{best.metric} ({first.name}: {100 * first.value:.0f}\N{NO-BREAK SPACE}%)"
    )


def _cell(value: object) -> str:
    return "–" if value is None else " ".join(str(value).replace("|", "\\|").split())


def _target_section(
    dataset: Dataset, target: TargetSpec, baselines: Sequence[Baseline], plots: Collection[str]
) -> dict[str, Any]:
    counts = class_counts(dataset.manifest, target)
    total = {split: sum(by_split[split] for by_split in counts.values()) for split in SPLITS}
    return {
        "name": target.name,
        "version": target.version,
        "summary": target.summary,
        "definitions": class_definitions(target).items(),
        "table": class_table(dataset.spec, {**counts, "all": total}),
        "plots": [plot for plot in (f"{target.name}-classes", f"{target.name}-values") if plot in plots],
        "baselines": baselines,
        "estimates": [(item.name, format_estimate(item.estimate)) for item in baselines],
    }


def class_definitions(target: TargetSpec) -> dict[str, str]:
    """Return the definition of each class that has one beside its name, for example ``to 1/250 s``."""
    listed = target.definition.get("classes")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    texts = {str(entry.get("name")): ", ".join(_definition(target, entry)) for entry in entries}
    return {name: texts[name] for name in target.classes if texts.get(name)}


def _definition(target: TargetSpec, entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parts of the definition of a class."""
    column = EXIF_COLUMNS.get(target.determined_by[0]) if target.determined_by else None
    tolerance = target.definition.get("tolerance")
    for key, value in entry.items():
        if key == "stops":
            yield format_number(float(value), target.unit) + (f" ± {tolerance} stops" if tolerance else "")
        elif key != "name":
            is_number = isinstance(value, float | int) and column is not None and column.type is not bool
            yield f"{key} {column.format(value) if column and is_number else value}"


def _facet_section(title: str, rows: Sequence[Row]) -> dict[str, Any]:
    shown = rows if title == "Years" else rows[:MAX_ROWS]
    return {
        "title": title,
        "headings": (title.lower().removesuffix("s"), "photographs", *SPLITS),
        "rows": [(name, sum(counts.values()), *counts.values()) for name, counts in shown],
        "others": len(rows) - len(shown),
        "other_photographs": sum(map(_frequency, rows[len(shown) :])),
    }


def class_table(
    spec: DatasetSpec, counts: Mapping[str, SplitCounts]
) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return headings and rows of a table of classes, with the deviation from the requested ratios.

    Args:
        spec: Spec of the data set.
        counts: Counts of each class by split.
    """
    ratios = _ratios(spec.split)
    headings = ("class", *SPLITS, "split in %", "max. deviation")
    rows = []
    for name, by_split in counts.items():
        total = sum(by_split.values())
        shares = [100 * count / total for count in by_split.values()] if total else []
        deviation = max((abs(share - 100 * ratio) for share, ratio in zip(shares, ratios, strict=False)), default=None)
        text = "–" if deviation is None else f"{deviation:.1f} points"
        rows.append((name, *by_split.values(), " / ".join(f"{share:.1f}" for share in shares) or "–", text))
    return (headings, rows) if ratios else (headings[:-1], [row[:-1] for row in rows])


def _ratios(split: Mapping[str, Any]) -> Sequence[float]:
    """Return the requested share of each split; empty with a held-out source or a published split."""
    if split.get("holdout_source") or split.get("like"):
        return ()
    folds = split.get("folds")
    return (1 - 2 / folds, 1 / folds, 1 / folds) if folds else split["ratios"]


def count_facets(manifest: pa.Table) -> dict[str, list[Row]]:
    """Count photographs by licence, source, camera, photographer and year.

    Returns:
        Each value, None for unknown, with its counts by split, by the title of the facet. The most frequent values come
        first; years are in order.
    """
    splits, years = manifest["split"], pc.utf8_slice_codeunits(manifest["taken_at"], 0, 4)
    columns = {
        "Licences": manifest["licence"],
        "Sources": manifest["source"],
        "Cameras": _cameras(manifest),
        "Photographers": manifest["owner"],
    }
    facets = {
        title: sorted(sorted(count_by_split(_spelled_alike(values), splits), key=_name), key=_frequency, reverse=True)
        for title, values in columns.items()
    }
    return {**facets, "Years": sorted(count_by_split(years, splits), key=_name)}


def _spelled_alike(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return names with one spelling for all that mean the same."""
    encoded = values.combine_chunks().dictionary_encode()
    counts = {row["values"]: row["counts"] for row in pc.value_counts(values.drop_null()).to_pylist()}
    spellings = common_spellings(counts)
    names = pa.array([spellings.get(name) for name in encoded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([names.take(encoded.indices)])


def _name(row: Row) -> tuple[bool, str]:
    return row[0] is None, row[0] or ""


def _frequency(row: Row) -> int:
    return sum(row[1].values())


def _cameras(manifest: pa.Table) -> pa.ChunkedArray:
    """Return make and model as one name without repetition: ``Canon EOS 5D``, not ``Canon Canon EOS 5D``."""
    make, model = (pc.fill_null(manifest[name].cast(pa.string()), "") for name in ("make", "model"))
    joined = pc.binary_join_element_wise(make, model, " ").combine_chunks().dictionary_encode()
    names = []
    for parts in map(str.split, joined.dictionary.to_pylist()):
        start = parts.index(parts[0], 1) if parts and parts[0] in parts[1:] else 0
        names.append(" ".join(parts[start:]) or None)
    return pa.chunked_array([pa.array(names, pa.string()).take(joined.indices)])


def write_attribution(folder: Path, connection: Connection, image_ids: NDArray[np.int64]) -> None:
    """Write ``ATTRIBUTION.csv``, one row per sighting of a photograph.

    Args:
        folder: Data set folder.
        connection: Catalogue connection.
        image_ids: Image ids of the photographs.
    """
    fields = [("image_id", pa.int64()), *((name, pa.string()) for name in ("sha256", *_ATTRIBUTION))]
    query = select(Image.id, Image.sha256, *(getattr(SightingRecord, name) for name in _ATTRIBUTION))
    query = query.join(SightingRecord, SightingRecord.image_id == Image.id).order_by(Image.id, SightingRecord.id)
    with (
        atomic_path(folder / ATTRIBUTION_FILE) as temporary,
        csv.CSVWriter(temporary, pa.schema([*fields[1:], ("spdx", pa.string())])) as writer,
    ):
        ids = np.sort(image_ids)
        for id_range in id_ranges(connection):
            ids_of_range = ids[slice(*np.searchsorted(ids, (id_range.first, id_range.last + 1)))]
            sightings = read_table(connection, query.where(id_range.covers(Image.id)), pa.schema(fields))
            mask = np.isin(sightings["image_id"].to_numpy(), ids_of_range)
            rows = sightings.filter(pa.array(mask)).drop_columns(["image_id"])
            licences = rows["licence"].combine_chunks().dictionary_encode()
            identifiers = pa.array(map(spdx_identifier, licences.dictionary.to_pylist()), pa.string())
            identifiers = pc.fill_null(identifiers.take(licences.indices), spdx_identifier(None))
            rows = rows.append_column("spdx", identifiers)
            quoted = [pc.replace_substring_regex(column, FORMULA, r"'\1") for column in rows.columns]
            writer.write_table(pa.table(quoted, names=rows.column_names))
