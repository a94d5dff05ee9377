"""How to cite a data set: ``CITATION.cff``, and the names of its authors."""

import re
from typing import Any

import yaml

from lightmeter.files import write_atomic
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.spec import DatasetSpec

CITATION_FILE = "CITATION.cff"

_ORCID = re.compile(r"<(https://orcid\.org/\d{4}-\d{4}-\d{4}-\d{3}[\dX])>\Z")


def author_name(author: str) -> str:
    """Return the name of an author without the ORCID."""
    return _ORCID.sub("", author.strip()).strip()


def author_orcid(author: str) -> str | None:
    """Return the ORCID of an author as a URL."""
    match = _ORCID.search(author.strip())
    return match.group(1) if match else None


def write_citation(dataset: Dataset) -> None:
    """Write ``CITATION.cff`` in the Citation File Format 1.2.0 into the folder of a data set."""
    spec, publication = dataset.spec, dataset.spec.publication
    document: dict[str, Any] = {
        "cff-version": "1.2.0",
        "type": "dataset",
        "title": spec.name,
        "message": "If you use this data set, please cite it.",
        "abstract": describe(spec),
        "authors": [_author(author) for author in publication.authors],
        "identifiers": [
            {"type": "other", "value": f"sha256:{spec.manifest_sha256}", "description": "SHA-256 of manifest.parquet"}
        ],
        "keywords": ["photography", "data set", *(target.name for target in spec.targets)],
    }
    if publication.created_on:
        document["date-released"] = publication.created_on
    if publication.licence and re.fullmatch(r"(?!LicenseRef-)[A-Za-z0-9.+-]+", publication.licence):
        document["license"] = publication.licence  # the format knows neither references nor expressions
    if publication.url:
        document["url"] = publication.url
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    write_atomic(dataset.folder / CITATION_FILE, text)


def _author(author: str) -> dict[str, str]:
    """Return a person, whose name has a comma, or else a group."""
    family, comma, given = author_name(author).partition(",")
    orcid = author_orcid(author)
    person = {"family-names": family.strip(), "given-names": given.strip()} if comma else {"name": family.strip()}
    return {**person, **({"orcid": orcid} if orcid else {})}


def describe(spec: DatasetSpec) -> str:
    """Return what a data set is, in two sentences."""
    targets = ", ".join(f"{target.name} (definition {target.version})" for target in spec.targets)
    counts = ", ".join(f"{count} {split}" for split, count in spec.counts.items())
    items = "crops of photographs" if spec.split.get("crop") else "photographs"
    grouped = ", ".join(spec.split.get("group_by", ())) or "nothing"
    splits = f"No group of photographs (grouped by {grouped}) is in several splits."
    if spec.split.get("like"):
        splits = f"The splits are those published in {spec.split['like'].get('file')}."
    return f"{sum(spec.counts.values())} {items} ({counts}), labelled by {targets}. {splits}"
