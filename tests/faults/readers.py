"""Everything that reads what others wrote: its file, an example of it, and the commands that read it."""

import json
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

from lightmeter.errors import LightmeterError
from lightmeter.files import sha256_of
from tests.faults.world import TRAIN, World

Command = tuple[object, ...]
PACK = ("labels", "pack", "one", "--any-licence", "--format")
LABEL_STUDIO = {
    "id": 1, "data": {"sha256": "SHA", "image": "x"},
    "annotations": [{"id": 1, "created_at": "2024-05-01T10:00:00Z", "completed_by": {"email": "a@example.org"},
                     "result": [{"from_name": "shutter-binary", "type": "choices", "value": {"choices": ["fast"]}}]}],
}  # fmt: skip
SIDECAR = {
    "category": "flickr", "id": 1, "owner": {"nsid": "1@N00"}, "license": "4", "title": "Fog", "tags": ["a", "b"],
    "date": "2020-05-04", "exif": [{"tagspace": "ExifIFD", "tag": "FNumber", "raw": {"_content": "2.8"}}],
}  # fmt: skip
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:FNumber="28/10"/></rdf:RDF></x:xmpmeta>"""
SITE = (
    'name = "x"\nstart = ["http://127.0.0.1:9/"]\nfollow = ["a.next"]\n[photograph]\neach = "figure"\nid = "i::text"\n'
)
STATE = {
    "framework": "torchserve", "process": "host_1~4194303~1", "token": "0" * 32, "folder": "/nonexistent", "workers": 0,
    "inference": "http://127.0.0.1:8080", "management": "http://127.0.0.1:8081",
    "metrics": "http://127.0.0.1:8082", "grpc": "127.0.0.1:7070", "temporary": "/tmp/lightmeter-none", "java": "17",
    "model_api": False, "models": [{"name": "tiny", "version": "1.0", "archive": "tiny-1.0.mar", "sha256": "0" * 64}],
}  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """A file that others may have written.

    Attributes:
        file: Path below the world's folder; ``*`` stands for any one file.
        commands: Commands that read it.
        example: Content of the file, if the world does not have it.
        function: Function that is called instead of ``lightmeter``; see `ForkRequest`.
        seal: Writes the hash of the changed file where it is kept, as somebody would who wants it to be read.
    """

    file: str
    commands: tuple[Command, ...]
    example: Callable[[World], bytes] | None = None
    function: str = ""
    seal: Callable[[World], object] = lambda _: None

    def path(self, world: World) -> Path:
        """Return the path of the file; create an example if it is missing."""
        path = min(world.home.glob(self.file), default=world.home / self.file)
        if self.example is not None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.example(world))
        return path


def open_archive(args: Sequence[str]) -> int:
    """Copy and validate an archive as ``serve start`` does."""
    from lightmeter.serve.archive import copy_archive

    try:
        copy_archive(Path(args[0]), Path("copy.mar"))
    except LightmeterError as error:
        print(f"lightmeter: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _seal_manifest(world: World) -> None:
    folder = world.project / "datasets" / "one"
    document = tomllib.loads((folder / "dataset.toml").read_text(encoding="utf-8"))
    document["manifest_sha256"] = sha256_of(folder / "manifest.parquet")
    (folder / "dataset.toml").write_text(tomli_w.dumps(document), encoding="utf-8")


def _text(content: str) -> Callable[[World], bytes]:
    return lambda _: content.encode()


def _labels_csv(world: World) -> bytes:
    lines = [f"{sha256},shutter-binary,fast,ann,2024-05-01T10:00:00Z" for sha256 in _hashes(world)]
    return "\n".join(["sha256,target,value,author,created_at", *lines]).encode()


def _label_studio(world: World) -> bytes:
    tasks = [LABEL_STUDIO | {"data": {"sha256": sha256, "image": "x"}} for sha256 in _hashes(world)]
    return json.dumps(tasks).encode()


def _urls_parquet(_: World) -> bytes:
    rows = [
        {
            "url": f"https://example.org/{number}.jpg",
            "source_id": str(number),
            "tags": ["a"],
            "width": number,
            "licence": "CC0",
        }
        for number in range(3)
    ]
    out = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return bytes(out.getvalue())


def _split_csv(world: World) -> bytes:
    hashes = sorted(path.name for path in world.project.glob("store/*/*"))
    splits = ("train", "validation", "test")
    return "\n".join(["sha256,split", *(f"{sha256},{splits[i % 3]}" for i, sha256 in enumerate(hashes))]).encode()


def _others_parquet(world: World) -> bytes:
    images = [path.read_bytes() for path in sorted(world.home.glob("photographs/*/*.jpg"))[:4]]
    rows = [{"image": {"bytes": data, "path": None}, "label": n, "owner": f"{n}"} for n, data in enumerate(images)]
    out = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return bytes(out.getvalue())


def _recipe(_: World) -> bytes:
    return files("lightmeter.models.recipes").joinpath("quality-features.toml").read_bytes()


def _definition(_: World) -> bytes:
    content = files("lightmeter.labels.targets.definitions").joinpath("shutter-binary.toml").read_text()
    assert tomllib.loads(content)
    return content.replace('"shutter-binary"', '"mine"').encode()


def _hashes(world: World) -> list[str]:
    return sorted(path.name for path in world.project.glob("store/*/*"))[:5]


_URLS = ("harvest", "run", "urls")
_FOLDER = ("harvest", "run", "folder", "../photographs", "--refresh")
_PREDICT = ("models", "predict", "tiny", "../photographs/person 0/0.jpg", "../photographs/person 1/1.jpg")
_OTHERS = "path,split,owner\n" + "".join(
    f"photographs/person {number}/{number}.jpg,{split},{number}\n" for number, split in enumerate(("train", "test") * 2)
)
_ROWS = "url,source_id,owner,licence,tags,medium,published_at,exif.FNumber\n" + "".join(
    f"https://example.org/{number}.jpg,{number},Ada,CC BY 4.0,fog;sea,film,2020-05-04,5.6\n" for number in range(4)
)

READERS: dict[str, Reader] = {
    "settings": Reader("project/lightmeter.toml", (("harvest", "status"), ("doctor",))),
    "catalogue": Reader("project/catalogue.sqlite", (("harvest", "status"), ("catalogue", "export", "-"))),
    "photograph": Reader("photographs/person 0/0.jpg", (_FOLDER, _PREDICT)),
    "sidecar": Reader("photographs/person 0/0.jpg.json", (_FOLDER,), _text(json.dumps(SIDECAR))),
    "XMP sidecar": Reader("photographs/person 0/0.xmp", (_FOLDER,), _text(XMP)),
    "list of URLs": Reader("urls.csv", ((*_URLS, "../urls.csv", "--metadata-only"),), _text(_ROWS)),
    "table of URLs": Reader("urls.parquet", ((*_URLS, "../urls.parquet", "--metadata-only"),), _urls_parquet),
    "site definition": Reader("site.toml", (("harvest", "run", "website", "../site.toml"),), _text(SITE)),
    "stored photograph": Reader(
        "project/store/*/*", (("store", "check"), ("harvest", "inspect"), (*PACK, "parquet"), (*PACK, "imagefolder"))
    ),
    "state of the store check": Reader(
        "project/.lightmeter/store-check.json", (("store", "check"),), _text('{"checked": 4, "last": 4}')
    ),
    "target definition": Reader(
        "project/targets/mine.toml", (("labels", "targets"), ("labels", "apply", "mine")), _definition
    ),
    "labels, CSV": Reader("labels.csv", (("labels", "import", "../labels.csv"),), _labels_csv),
    "labels, Label Studio": Reader("labels.json", (("labels", "import", "../labels.json"),), _label_studio),
    "data set": Reader(
        "project/datasets/one/dataset.toml",
        (("labels", "verify", "one"), (*PACK, "imagefolder"), ("models", "train", *TRAIN, "--data", "one")),
    ),
    "manifest": Reader(
        "project/datasets/one/manifest.parquet",
        (("labels", "verify", "one"), (*PACK, "webdataset"), ("models", "train", *TRAIN, "--data", "one")),
        seal=_seal_manifest,
    ),
    "data set to extend or compare": Reader(
        "project/datasets/one/manifest.parquet",
        (("labels", "diff", "one", "one"), ("labels", "split", "two", "--extend", "one")),
        seal=_seal_manifest,
    ),
    "published split": Reader(
        "split.csv", (("labels", "split", "two", "--target", "shutter-binary", "--like", "../split.csv"),), _split_csv
    ),
    "table of photographs": Reader("others.csv", (("labels", "verify", "../others.csv"),), _text(_OTHERS)),
    "Parquet of photographs": Reader("others/train.parquet", (("labels", "verify", "../others"),), _others_parquet),
    "card": Reader("project/datasets/one/README.md", ((*PACK, "parquet"),)),
    "attributions": Reader("project/datasets/one/ATTRIBUTION.csv", ((*PACK, "parquet"),)),
    "recipe": Reader("project/mine.toml", (("models", "train", "mine.toml", "--data", "one"),), _recipe),
    "features": Reader("project/.lightmeter/cache/*-*/photographs.jsonl", (("models", "train", *TRAIN, "--data", "one"),)),
    "feature arrays": Reader(
        "project/.lightmeter/cache/*-*/*.bin", (("models", "train", *TRAIN, "--data", "one"),)
    ),
    "model": Reader(
        "project/runs/tiny/model.toml", (_PREDICT, ("serve", "archive", "tiny"), ("models", "evaluate", "tiny"))
    ),
    "weights": Reader("project/runs/tiny/model.safetensors", (_PREDICT, ("serve", "archive", "tiny"))),
    "metrics": Reader(
        "project/runs/tiny/metrics.json",
        (("serve", "archive", "tiny"), ("models", "compare", "tiny", "--split", "validation")),
    ),
    "predictions": Reader(
        "project/runs/tiny/predictions.parquet",
        (
            ("models", "compare", "tiny", "--split", "validation"),
            ("labels", "audit", "shutter-binary", "--run", "tiny"),
        ),
    ),
    "recipe of a run": Reader(
        "project/runs/tiny/recipe.toml", (("models", "compare", "tiny", "--split", "validation"),)
    ),
    "EXIF beside a photograph": Reader(
        "exif.json", ((*_PREDICT, "--exif", "../exif.json"),), _text('[{"SourceFile": "0.jpg", "FNumber": 2.8, "ISO": 100}]')
    ),
    "archive": Reader("project/archives/tiny.mar", (("archives/tiny.mar",),), function="tests.faults.readers:open_archive"),
    "state of a server": Reader(
        "project/.lightmeter/serve/main/state.json",
        (("serve", "status"), ("serve", "predict", "../photographs/person 0/0.jpg"), ("serve", "stop")),
        _text(json.dumps(STATE)),
    ),
}  # fmt: skip

QUERY_COMMANDS: tuple[Command, ...] = (
    ("catalogue", "export", "-", "--where"),
    ("labels", "stats", "shutter-binary", "--where"),
    ("harvest", "duplicates", "--where"),
)
ARGUMENT_COMMANDS: tuple[Command, ...] = (
    ("labels", "split", "{}", "--target", "iso-binary", "--min-per-class", "1"),
    ("labels", "split", "two", "--target", "{}"),
    ("labels", "set", "{}", "shutter-binary=fast"),
    ("labels", "show", "{}"),
    ("labels", "verify", "{}"),
    ("labels", "apply", "{}"),
    ("models", "train", *TRAIN, "--data", "one", "--name", "{}"),
    ("models", "train", *TRAIN, "--data", "one", "--set", "iterations={}"),
    ("models", "predict", "tiny", "{}"),
    ("models", "predict", "{}", "x.jpg"),
    ("serve", "archive", "tiny", "--name", "{}"),
    ("serve", "archive", "tiny", "--version", "{}"),
    ("serve", "status", "--server", "{}"),
    ("catalogue", "show", "{}"),
    ("catalogue", "edit", "owner={}"),
    ("catalogue", "remove", "--yes", "--sha256", "{}"),
    ("harvest", "run", "folder", "{}"),
    ("harvest", "run", "urls", "{}"),
    ("harvest", "retry", "{}"),
    ("harvest", "inspect", "--filter", "{}"),
)
