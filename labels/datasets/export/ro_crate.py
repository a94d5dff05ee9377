"""Export a data set, and a model that was trained on it, as an RO-Crate 1.1 for research repositories."""

import json
import mimetypes
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lightmeter.errors import UsageError
from lightmeter.files import open_regular, sha256_of, temporary_folder, write_atomic
from lightmeter.labels.datasets.card.card import CARD_PAGE
from lightmeter.labels.datasets.card.citation import author_name, author_orcid, describe
from lightmeter.labels.datasets.card.croissant import licence_url
from lightmeter.labels.datasets.card.photographs import SAMPLES, without_samples
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.export.samples import is_redistributable
from lightmeter.labels.datasets.inventory import MODEL_FILE, training_hashes
from lightmeter.text.documents import read_toml

_PICTURES = (CARD_PAGE, f"{SAMPLES}/*", "report.html", "plots/photograph-*", "plots/*-mistakes.png")
"""Files that show photographs; they are left out unless all photographs may be redistributed."""

METADATA = "ro-crate-metadata.json"

_PROFILE = "https://w3id.org/ro/crate/1.1"
_TERMS = {"sha256": "https://schema.org/sha256"}
"""Terms that the context of RO-Crate 1.1 lacks."""

_SOFTWARE = "#lightmeter"
_TYPES = {".parquet": "application/vnd.apache.parquet", ".toml": "application/toml", ".md": "text/markdown"}
_TYPES |= {".cff": "application/yaml", ".safetensors": "application/octet-stream"}


def export_ro_crate(dataset: Dataset, folder: Path, run: Path | None = None) -> int:
    """Copy the documents of a data set and the files of a run, and describe them; return the number of files.

    Args:
        dataset: Data set; its photographs stay in the store.
        folder: Output folder; it must not exist.
        run: Folder of a training run on the data set.

    Raises:
        UsageError: The folder exists, or the run is none of this data set.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists; choose another folder.")
    if run is not None:
        _check_run(dataset, run)
    with temporary_folder(folder.absolute().parent) as temporary:
        draft = temporary / folder.name
        parts = {"dataset": dataset.folder, **({"run": run} if run else {})}
        pictures = all(map(is_redistributable, dataset.rows()))
        files = {name: list(_copy(source, draft / name, pictures=pictures)) for name, source in parts.items()}
        graph = _graph(dataset, draft, files, run.name if run else "")
        document = {"@context": [f"{_PROFILE}/context", _TERMS], "@graph": graph}
        write_atomic(draft / METADATA, json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        draft.rename(folder)
    return sum(map(len, files.values()))


def _check_run(dataset: Dataset, run: Path) -> None:
    file = run / MODEL_FILE
    if not file.is_file():
        raise UsageError(f"{run} is not a trained model: {MODEL_FILE} is missing.")
    data = read_toml(file).get("data")
    if not isinstance(data, dict) or dataset.spec.manifest_sha256 not in training_hashes(data):
        raise UsageError(f"The run {run.name} was not trained on the data set {dataset.spec.name}.")


def _copy(source: Path, target: Path, *, pictures: bool) -> Iterator[Path]:
    """Copy the regular files of a folder, without hidden ones and links, and yield their copies.

    Args:
        source: Folder of a data set or run.
        target: Folder in the crate.
        pictures: Copy files that show photographs too.
    """
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if path.is_symlink() or not path.is_file() or any(part.startswith(".") for part in name.parts):
            continue
        if not pictures and any(map(name.match, _PICTURES)):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with open_regular(path) as file, (target / name).open("wb") as output:
            if pictures or name.name != "README.md":
                shutil.copyfileobj(file, output)
            else:
                output.write(without_samples(file.read()))
        yield target / name


def _graph(dataset: Dataset, folder: Path, files: dict[str, list[Path]], run: str) -> list[dict[str, Any]]:
    """Return the entities of the crate."""
    spec, publication = dataset.spec, dataset.spec.publication
    entities = [_file(folder, file) for copies in files.values() for file in copies]
    authors = [_author(author, publication.url) for author in publication.authors]
    groups = [author for author in authors if author["@type"] == "Organization"]
    licence = licence_url(publication.licence) if publication.licence else ""
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{spec.name} and {run}" if run else spec.name,
        "description": describe(spec),
        "datePublished": publication.created_on,
        "license": {"@id": licence or "dataset/ATTRIBUTION.csv"},
        "author": _references(author["@id"] for author in authors),
        **({"publisher": {"@id": groups[0]["@id"]}} if groups else {}),
        "identifier": f"urn:sha256:{spec.manifest_sha256}",
        "hasPart": _references(f"{name}/" for name in files),
        "mentions": _references(["#split", *(["#training"] if run else [])]),
    }
    descriptor = {
        "@id": METADATA,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": _PROFILE},
    }
    titles = {"dataset": f"Data set {spec.name}", "run": f"Trained model {run}"}
    folders = [
        {
            "@id": f"{name}/",
            "@type": "Dataset",
            "name": titles[name],
            "description": describe(spec) if name == "dataset" else f"Model trained on the data set {spec.name}.",
            "hasPart": _references(_identifier(folder, file) for file in copies),
        }
        for name, copies in files.items()
    ]
    about = [{"@id": licence, "@type": "CreativeWork", "name": publication.licence}] if licence else []
    return [descriptor, root, *folders, *entities, *authors, *about, *_actions(dataset, run)]


def _actions(dataset: Dataset, run: str) -> Iterator[dict[str, Any]]:
    """Yield the software, and what it made from what."""
    version = str(dataset.spec.split.get("lightmeter", ""))
    yield {"@id": _SOFTWARE, "@type": "SoftwareApplication", "name": "Lightmeter", "version": version}
    options = {key: value for key, value in dataset.spec.split.items() if key != "excluded_classes"}
    yield {
        "@id": "#split",
        "@type": "CreateAction",
        "name": "Split into train, validation and test",
        "description": json.dumps(options, ensure_ascii=False, sort_keys=True),
        "instrument": {"@id": _SOFTWARE},
        "result": {"@id": "dataset/"},
    }
    if run:
        yield {
            "@id": "#training",
            "@type": "CreateAction",
            "name": f"Training of {run}",
            "instrument": {"@id": _SOFTWARE},
            "object": {"@id": "dataset/"},
            "result": {"@id": "run/"},
        }


def _references(identifiers: Iterable[str]) -> Any:
    """Return references to entities; a single one is no list."""
    references = [{"@id": identifier} for identifier in identifiers]
    return references[0] if len(references) == 1 else references


def _author(author: str, url: str) -> dict[str, str]:
    name, orcid = author_name(author), author_orcid(author)
    entity = {"@id": orcid or f"#author-{quote(name)}", "name": name}
    if "," in name or orcid:
        return {**entity, "@type": "Person"}
    return {**entity, "@type": "Organization", **({"url": url} if url else {})}


def _file(folder: Path, file: Path) -> dict[str, Any]:
    media_type = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return {
        "@id": _identifier(folder, file),
        "@type": "File",
        "name": file.name,
        "encodingFormat": media_type,
        "contentSize": str(file.stat().st_size),
        "sha256": sha256_of(file),
    }


def _identifier(folder: Path, file: Path) -> str:
    return quote(file.relative_to(folder).as_posix())
