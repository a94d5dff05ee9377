"""Describe a data set or a pack for other programs: ``croissant.json``, in Croissant 1.1 with its RAI extension."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lightmeter.files import sha256_of, write_atomic
from lightmeter.harvest.licences import spdx_identifier
from lightmeter.labels.datasets.card.card import class_definitions
from lightmeter.labels.datasets.card.citation import author_name, author_orcid, describe
from lightmeter.labels.datasets.dataset import MANIFEST_FILE, Dataset
from lightmeter.labels.datasets.manifest import SPLITS, label_column, to_file_types
from lightmeter.labels.datasets.spec import TargetSpec

CROISSANT_FILE = "croissant.json"

_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        name: f"cr:{name}"
        for name in (
            *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject"),
            *("fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
            *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
            *("separator", "source", "subField", "transform"),
        )
    },
}
_CONFORMS_TO = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
_CLASS_FIELDS = {"name": "sc:Text", "index": "sc:Integer", "definition": "sc:Text"}
PARQUET = "application/x-parquet"
_UNITS = {"f_number": "f-number", "exposure_time_s": "seconds", "focal_length_mm": "mm", "file_size": "bytes"}


def write_croissant(dataset: Dataset, advisories: Sequence[str]) -> None:
    """Write ``croissant.json`` into the folder of a data set; equal data sets give equal bytes.

    Args:
        dataset: Data set whose other files are written.
        advisories: What a user should know, one sentence each.
    """
    files = [
        file_object(
            dataset.folder, MANIFEST_FILE, PARQUET, "One row per photograph or crop, in the order of its SHA-256."
        ),
        file_object(
            dataset.folder, "ATTRIBUTION.csv", "text/csv", "Every sighting of every photograph, with its licence."
        ),
    ]
    record_sets = [_photographs(dataset), _splits(), *(class_record_set(target) for target in dataset.spec.targets)]
    document = croissant_document(dataset, advisories)
    write_document(dataset.folder, {**document, "distribution": files, "recordSet": record_sets})


def write_document(folder: Path, document: Mapping[str, Any]) -> None:
    """Write ``croissant.json``."""
    write_atomic(folder / CROISSANT_FILE, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def croissant_document(dataset: Dataset, advisories: Sequence[str]) -> dict[str, Any]:
    """Return the description of a data set without its files and record sets."""
    return {**_metadata(dataset), **_responsible_ai(dataset, advisories)}


def _metadata(dataset: Dataset) -> dict[str, Any]:
    """Return the properties of the data set itself."""
    spec, publication = dataset.spec, dataset.spec.publication
    photographs = sorted({*map(spdx_identifier, pc.unique(dataset.manifest["licence"]).to_pylist())})
    licences = [publication.licence] if publication.licence else photographs
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": spec.name,
        "description": f"{describe(spec)} Licences of the photographs: {', '.join(photographs)}.",
        "conformsTo": list(_CONFORMS_TO),
        "license": [licence_url(licence) for licence in licences],
        "url": publication.url or f"urn:sha256:{spec.manifest_sha256}",
        "identifier": f"urn:sha256:{spec.manifest_sha256}",
        "version": f"1.0.0+{spec.manifest_sha256[:12]}",  # a data set never changes
        "creator": [_creator(author) for author in publication.authors],
        "datePublished": publication.created_on,
        "dateCreated": publication.created_on,
        "citeAs": _bibtex(dataset),
        "keywords": ["photography", *(target.name for target in spec.targets)],
        "isLiveDataset": False,
    }


def licence_url(licence: str) -> str:
    """Return the page of an SPDX identifier; expressions and references have none."""
    is_listed = " " not in licence and not licence.startswith(("LicenseRef-", "NOASSERTION"))
    return f"https://spdx.org/licenses/{licence}" if is_listed else licence


def _creator(author: str) -> dict[str, str]:
    name, orcid = author_name(author), author_orcid(author)
    kind = "sc:Person" if "," in name or orcid else "sc:Organization"
    return {"@type": kind, "name": name, **({"url": orcid} if orcid else {})}


def _bibtex(dataset: Dataset) -> str:
    spec, publication = dataset.spec, dataset.spec.publication
    fields = {
        "title": spec.name,
        "author": " and ".join(
            name if "," in name else f"{{{name}}}" for name in map(author_name, publication.authors)
        ),
        "year": publication.created_on[:4],
        "note": f"Data set, SHA-256 {spec.manifest_sha256}",
        "url": publication.url,
    }
    lines = ", ".join(f"{key} = {{{value}}}" for key, value in fields.items() if value)
    return f"@misc{{dataset-{spec.manifest_sha256[:12]}, {lines}}}"


def file_object(folder: Path, name: str, encoding: str, description: str) -> dict[str, Any]:
    """Return a file in the folder of a data set, with its size and hash."""
    path = folder / name
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "description": description,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": encoding,
        "sha256": sha256_of(path),
    }


def _photographs(dataset: Dataset) -> dict[str, Any]:
    """Return the record set of the manifest."""
    return {
        "@type": "cr:RecordSet",
        "@id": "photographs",
        "name": "photographs",
        "description": "Manifest: photographs or crops with split, labels, file properties and EXIF.",
        "field": [_field(dataset, column) for column in to_file_types(dataset.manifest.slice(0, 0)).schema],
    }


def _field(dataset: Dataset, column: pa.Field) -> dict[str, Any]:
    record_field = {
        **field(f"photographs/{column.name}", _data_type(column.type)),
        "description": _description(dataset.spec.targets, column.name),
        "source": {"fileObject": {"@id": MANIFEST_FILE}, "extract": {"column": column.name}},
    }
    if pa.types.is_list(column.type):
        record_field |= {"isArray": True, "arrayShape": "-1"}
    if column.name == "split":
        record_field["references"] = {"field": {"@id": "splits/name"}}
    return record_field


def _description(targets: Sequence[TargetSpec], column: str) -> str:
    for target in targets:
        if column == label_column(target.name):
            return f"{'Classes' if target.multilabel else 'Class'} of {_definition(target)}; empty without a label."
        if column.endswith(f"_{target.name}"):
            return f"Measured value of {target.name}{f' in {target.unit}' if target.unit else ''}."
    unit = f" in {_UNITS[column]}" if column in _UNITS else ""
    return f"{column.replace('_', ' ')}{unit}"


def _definition(target: TargetSpec) -> str:
    return f"{target.name}, definition {target.version}{f' ({target.summary})' if target.summary else ''}"


def _data_type(type_: pa.DataType) -> str:
    if pa.types.is_list(type_):
        return _data_type(type_.value_type)
    if pa.types.is_boolean(type_):
        return "sc:Boolean"
    if pa.types.is_integer(type_):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(type_) else "sc:Text"


def _splits() -> dict[str, Any]:
    kinds = dict(zip(SPLITS, ("TrainingSplit", "ValidationSplit", "TestSplit"), strict=True))
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [field("splits/name", "sc:Text"), field("splits/url", "sc:URL")],
        "data": [{"splits/name": split, "splits/url": f"cr:{kind}"} for split, kind in kinds.items()],
    }


def class_record_set(target: TargetSpec) -> dict[str, Any]:
    """Return the record set of the classes of a target."""
    name, definitions = f"classes_{target.name}", class_definitions(target)
    fields = [field(f"{name}/{key}", kind) for key, kind in _CLASS_FIELDS.items()]
    rows = [(item, index, definitions.get(item, "")) for index, item in enumerate(target.classes)]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"Classes of {_definition(target)}, in order.",
        "dataType": "sc:Enumeration",
        "key": {"@id": f"{name}/name"},
        "field": fields,
        "data": [{f"{name}/{key}": value for key, value in zip(_CLASS_FIELDS, row, strict=True)} for row in rows],
    }


def field(identifier: str, data_type: str) -> dict[str, Any]:
    """Return a field without a source, named after the last part of its identifier."""
    return {
        "@type": "cr:Field",
        "@id": identifier,
        "name": identifier.rsplit("/", maxsplit=1)[-1],
        "dataType": data_type,
    }


def _responsible_ai(dataset: Dataset, advisories: Sequence[str]) -> dict[str, Any]:
    """Return the properties of the RAI extension, as far as a data set knows them."""
    spec, manifest = dataset.spec, dataset.manifest
    sources = sorted(
        (row["values"] or "unknown", row["counts"]) for row in manifest["source"].value_counts().to_pylist()
    )
    return {
        "rai:dataCollection": "Harvested from " + ", ".join(f"{name} ({count})" for name, count in sources) + ".",
        "rai:dataCollectionType": ["Software Collection"],
        "rai:dataCollectionMissingData": ", ".join(_missing(manifest)) or "None.",
        "rai:dataPreprocessingProtocol": list(_preprocessing(spec.split)),
        "rai:dataAnnotationProtocol": [
            f"{_definition(target)}: {', '.join(target.classes)}" for target in spec.targets
        ],
        "rai:annotationsPerItem": "One effective label per photograph and target.",
        "rai:machineAnnotationTools": [f"Lightmeter {spec.split.get('lightmeter', '')}".strip()],
        "rai:dataBiases": list(advisories),
        "rai:dataLimitations": [
            "Labels that come from EXIF are as right as the cameras, scanners and programs that wrote it.",
            "The photographs are those that their sources offered; they represent no population of photographs.",
        ],
        "rai:dataUseCases": [f"Estimate {target.name} of a photograph from its pixels." for target in spec.targets],
        "rai:personalSensitiveInformation": [
            "Names of photographers, for attribution. The photographs can show people who can be recognised."
        ],
        "rai:dataReleaseMaintenancePlan": "The data set never changes; corrections are published under a new name.",
    }


def _missing(manifest: pa.Table) -> Iterator[str]:
    for name in manifest.column_names:
        nulls = manifest[name].null_count
        if nulls and not name.startswith("crop_"):
            yield f"{name} ({nulls} of {manifest.num_rows})"


def _preprocessing(split: Mapping[str, Any]) -> Iterator[str]:
    if split.get("where"):
        extended = split.get("extends", {}).get("name")
        subject = f"Photographs that {extended} does not have were selected" if extended else "Selected"
        yield f"{subject} by the query {split['where']}."
    if split.get("crop"):
        yield f"Cropped: {split['crop']}."
    if split.get("undersample"):
        yield "Undersampled to equal class counts in each split."
    keys = ", ".join(split.get("group_by", ())) or "nothing"
    yield f"Split with the seed {split.get('seed', 0)} into groups by {keys}."
