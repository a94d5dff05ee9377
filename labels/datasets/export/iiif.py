"""Export a data set for viewers of museums and archives: a static folder in IIIF Presentation 3."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lightmeter.errors import UsageError
from lightmeter.files import temporary_folder, write_atomic
from lightmeter.harvest.exif.columns import EXIF_COLUMNS
from lightmeter.harvest.licences import (
    ALL_RIGHTS_RESERVED,
    NO_KNOWN_RESTRICTIONS,
    PUBLIC_DOMAIN,
    UNITED_STATES_GOVERNMENT,
    spdx_identifier,
)
from lightmeter.images.crops import png_bytes
from lightmeter.images.reader import open_image, pixel_orientation
from lightmeter.labels.datasets.card.citation import describe
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.export.samples import Sample, is_redistributable, samples
from lightmeter.labels.datasets.names import PhotoNames
from lightmeter.labels.datasets.photographs import MANIFEST_EXIF

MANIFEST = "manifest.json"

_CONTEXT = "http://iiif.io/api/presentation/3/context.json"
_MEDIA_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif"}
"""Formats that every browser shows; others are converted to PNG."""

_RIGHTS = {
    "CC0-1.0": "http://creativecommons.org/publicdomain/zero/1.0/",
    PUBLIC_DOMAIN: "http://creativecommons.org/publicdomain/mark/1.0/",
    ALL_RIGHTS_RESERVED: "http://rightsstatements.org/vocab/InC/1.0/",
    NO_KNOWN_RESTRICTIONS: "http://rightsstatements.org/vocab/NKC/1.0/",
    UNITED_STATES_GOVERNMENT: "http://rightsstatements.org/vocab/NoC-US/1.0/",
}
_CREATIVE_COMMONS = re.compile(r"CC-(BY(?:-(?:NC|ND|SA))*)-(\d\.\d)(?:-([A-Z]+))?")


def export_iiif(
    dataset: Dataset,
    folder: Path,
    url: str,
    *,
    any_licence: bool = False,
    on_progress: Callable[[int], object] = lambda _: None,
) -> int:
    """Write images without metadata and ``manifest.json``, and return the number of images.

    Args:
        dataset: Data set.
        folder: Output folder; it must not exist.
        url: URL under which the folder will be served; identifiers begin with it.
        any_licence: Include images whose licence does not permit redistribution.
        on_progress: Called with the number of images written since the last call.

    Raises:
        UsageError: The folder exists, the URL is none, or no image may be redistributed.
    """
    if not re.match(r"https?://[^/\s]+", url):
        raise UsageError(f"Invalid URL '{url}': write https://HOST/PATH.")
    if folder.exists():
        raise UsageError(f"{folder} exists; choose another folder.")
    rows = [row for row in dataset.rows() if any_licence or is_redistributable(row)]
    if not rows:
        raise UsageError("No photograph has a licence that permits redistribution; use --any-licence for your own use.")
    base = url.rstrip("/")
    with temporary_folder(folder.absolute().parent) as temporary:
        draft = temporary / folder.name
        (draft / "images").mkdir(parents=True)
        names = PhotoNames(dataset.folder)
        canvases: list[dict[str, Any]] = []
        classes: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
        for row, sample in zip(rows, samples(dataset, rows, on_progress=on_progress), strict=True):
            canvases.append(_canvas(base, draft, row, sample, names[row["sha256"]]))
            for target, label in sample.labels.items():
                for name in label if isinstance(label, list) else [label] if label else []:
                    classes[row["split"], target, name].append(canvases[-1]["id"])
        manifest = {
            "@context": _CONTEXT,
            "id": f"{base}/{MANIFEST}",
            "type": "Manifest",
            "label": _text(dataset.spec.name),
            "summary": _text(describe(dataset.spec), "en"),
            **_rights(dataset.spec.publication.licence),
            "items": canvases,
            "structures": list(_ranges(base, classes)),
        }
        write_atomic(draft / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1) + "\n")
        draft.rename(folder)
    return len(canvases)


def _canvas(base: str, folder: Path, row: Mapping[str, Any], sample: Sample, name: str) -> dict[str, Any]:
    """Write the image of a sample and return its canvas."""
    shown = sample.suffix in _MEDIA_TYPES
    suffix, data = (sample.suffix, sample.data) if shown else ("png", png_bytes(sample.data))
    (folder / "images" / f"{sample.key}.{suffix}").write_bytes(data)
    with open_image(data) as image:
        width, height = image.size if pixel_orientation(image) < 5 else image.size[::-1]
    canvas = f"{base}/canvas/{sample.key}"
    size = {"width": width, "height": height}
    body = {"id": f"{base}/images/{sample.key}.{suffix}", "type": "Image", "format": _MEDIA_TYPES[suffix], **size}
    labels = {target: label for target, label in sample.labels.items() if label}
    tags = [
        _annotation(f"{canvas}/tag/{quote(target)}/{number}", "tagging", canvas, _tag(f"{target}: {value}"))
        for target, label in labels.items()
        for number, value in enumerate(label if isinstance(label, list) else [label])
    ]
    return {
        "id": canvas,
        "type": "Canvas",
        "label": _text(name),
        **size,
        "metadata": list(_metadata(row, labels)),
        **_rights(row["licence"]),
        "requiredStatement": {
            "label": _text("Attribution", "en"),
            "value": _text(f"{row['owner'] or 'Unknown photographer'}, {spdx_identifier(row['licence'])}"),
        },
        "thumbnail": [body],
        "items": [_page(f"{canvas}/page", [_annotation(f"{canvas}/image", "painting", canvas, body)])],
        **({"annotations": [_page(f"{canvas}/tags", tags)]} if tags else {}),
    }


def _metadata(row: Mapping[str, Any], labels: Mapping[str, str | list[str]]) -> Iterator[dict[str, Any]]:
    """Yield label and value of what a viewer shows beside a photograph."""
    values = {"split": row["split"], "source": row["source"], "photographer": row["owner"]}
    values |= {target: ", ".join(label) if isinstance(label, list) else label for target, label in labels.items()}
    for name in MANIFEST_EXIF:
        if row[name] is not None:
            values[EXIF_COLUMNS[name].title] = EXIF_COLUMNS[name].format(row[name])
    for name, value in values.items():
        if value:
            yield {"label": _text(name, "en"), "value": _text(value)}


def _ranges(base: str, classes: Mapping[tuple[str, str, str], list[str]]) -> Iterator[dict[str, Any]]:
    """Yield a table of contents: a range for each class of each split."""
    for number, ((split, target, name), canvases) in enumerate(sorted(classes.items())):
        yield {
            "id": f"{base}/range/{number}",
            "type": "Range",
            "label": _text(f"{split}: {target} {name}"),
            "items": [{"id": canvas, "type": "Canvas"} for canvas in canvases],
        }


def _text(value: str, language: str = "none") -> dict[str, list[str]]:
    return {language: [value]}


def _tag(value: str) -> dict[str, str]:
    return {"type": "TextualBody", "value": value, "format": "text/plain", "purpose": "tagging"}


def _page(identifier: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": identifier, "type": "AnnotationPage", "items": items}


def _annotation(identifier: str, motivation: str, canvas: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": identifier, "type": "Annotation", "motivation": motivation, "body": body, "target": canvas}


def _rights(licence: str | None) -> dict[str, str]:
    """Return the property ``rights``, which allows only Creative Commons and RightsStatements.org."""
    match = _CREATIVE_COMMONS.fullmatch(licence or "")
    if match:
        terms, version, port = match.groups()
        suffix = f"{port.lower()}/" if port else ""
        return {"rights": f"http://creativecommons.org/licenses/{terms.lower()}/{version}/{suffix}"}
    return {"rights": _RIGHTS[licence]} if licence in _RIGHTS else {}
