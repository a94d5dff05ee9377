"""Model archives: a run, the prediction code and the TorchServe handler in one file.

An archive is a zip file. Its members are stored without compression, in a fixed order and with fixed times, so that
the same run gives the same bytes on any machine. The code consists of whole folders of this package; they need only
torch, numpy, Pillow and safetensors, so Lightmeter itself need not be installed where the archive is served.
"""

import json
import os
import shutil
import stat
import tomllib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any

import tomli_w

import lightmeter
from lightmeter.errors import UsageError
from lightmeter.files import atomic_path, output_path, sha256_of
from lightmeter.models.runtime.engines import EngineName
from lightmeter.models.runtime.spec import NAME, SPEC_FILE, WEIGHTS_FILE, BrokenModel, ModelSpec, spec_from

if TYPE_CHECKING:  # what starts a server needs no torch
    from lightmeter.labels.datasets.union import DatasetReference
    from lightmeter.models.evaluation.engine_agreement import EngineAgreement

MANIFEST = "MAR-INF/MANIFEST.json"
RUN = "run"
HANDLER = "lightmeter.serve.handler.handler"
"""Module that TorchServe imports; it puts the folder of the unpacked archive first on the module path."""

_CODE_FOLDERS = ("images", "models/runtime", "models/architectures", "serve/handler")
_CODE_FILES = ("exposure.py",)
_EMPTY_PACKAGES = ("lightmeter", "lightmeter/models", "lightmeter/serve")  # the real ones import what does not travel
MODEL_CARD = "README.md"
_OPTIONAL_FILES = (MODEL_CARD, "metrics.json")
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_MAX_MEMBERS = 1000
_MAX_BYTES = 8_000_000_000
_MAX_TEXT_BYTES = 1_000_000  # of the members that are parsed here and by TorchServe


@dataclass(frozen=True)
class Archive:
    """A model archive.

    Attributes:
        path: The file.
        name: Model name, as in addresses and responses.
        version: Model version.
        dataset: SHA-256 of the manifest of the training data set.
        sha256: SHA-256 of the archive.
        engine: What runs the network.
        agreement: How far the engine's probabilities differ from those of torch, when another engine is written.
    """

    path: Path
    name: str
    version: str
    dataset: str
    sha256: str
    engine: EngineName = "torch"
    agreement: "EngineAgreement | None" = None


def write_archive(
    run: Path,
    out: Path,
    name: str | None = None,
    version: str | None = None,
    engine: EngineName = "torch",
    dataset: "DatasetReference | Sequence[DatasetReference] | None" = None,
) -> Archive:
    """Package a run as a TorchServe archive.

    Another engine than torch is compared with torch on validation photographs; the archive's model card states the
    largest difference.

    Args:
        run: Run folder.
        out: Folder for ``NAME.mar``, or the path of the archive if it ends in ``.mar``.
        name: Model name (default: the run's).
        version: Model version (default: the run's).
        engine: What runs the network: ``torch``, ``openvino`` or ``onnxruntime``.
        dataset: Data sets of the training, or their folders, if the engine is not torch (default: the project's data
            sets of these names).

    Returns:
        The archive.

    Raises:
        UsageError: The run is damaged, the name or version is invalid, or the engine or the data set cannot be used.
        LightmeterError: The engine and torch disagree.

    Example:
        >>> archive = write_archive(Path("runs/patches-iso-demo-1"), Path("archives"))  # made by 'lightmeter demo'
        >>> archive.path.name
        'patches-iso-demo-1.mar'
    """
    from lightmeter.models.runtime.predictor import Predictor

    for file in (SPEC_FILE, WEIGHTS_FILE, *_OPTIONAL_FILES):
        _check_regular(run / file)
    try:
        spec = Predictor.load(run).spec
    except BrokenModel as error:
        raise UsageError(str(error)) from error
    spec = replace(
        spec,
        name=_valid("name", name or spec.name),
        version=_valid("version", version or spec.version),
        engine=engine,
    )
    agreement = None if engine == "torch" else _agreement(run, engine, dataset)
    path = out if out.suffix == ".mar" else out / f"{spec.name}.mar"
    with output_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for member, content in sorted(_members(run, spec, agreement).items()):
            if isinstance(content, str):
                _store(archive, member, BytesIO(content.encode()), len(content.encode()))
            else:
                with content.open("rb") as source:
                    _store(archive, member, source, content.stat().st_size)
    return replace(_archive(path, spec), agreement=agreement)


def check_archive(path: Path) -> Archive:
    """Validate an archive.

    Raises:
        UsageError: The file is not a Lightmeter archive, is damaged, or has members outside its folder.
    """
    with _opened(path) as archive:
        spec = _checked_spec(path, archive)
    return _archive(path, spec)


def copy_archive(path: Path, out: Path) -> Archive:
    """Validate an archive and write a copy of its members, which are all that the copy contains.

    The file is opened once: what is copied is what was validated. Another program that reads the copy, as TorchServe
    does, sees the same members, whatever else the original hides between them. The copy of an archive that
    `write_archive` wrote has the same bytes.

    Args:
        path: The archive.
        out: Path of the copy.

    Raises:
        UsageError: The file is not a Lightmeter archive, is damaged, or has members outside its folder.
    """
    with _opened(path) as archive:
        _checked_spec(path, archive)
        with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as copy:
            for member in archive.infolist():
                if not member.is_dir():
                    with archive.open(member) as source:
                        _store(copy, member.filename, source, member.file_size)
    return replace(check_archive(out), path=out)


@contextmanager
def unpacked_run(path: Path) -> Iterator[Path]:
    """Validate an archive, and yield the run folder in it, unpacked while the block runs.

    Raises:
        UsageError: The file is not a Lightmeter archive, is damaged, or has members outside its folder.
    """
    with _opened(path) as archive, TemporaryDirectory(prefix="lightmeter-") as folder:
        _checked_spec(path, archive)
        run = Path(folder) / RUN
        run.mkdir()
        for member in archive.infolist():
            name = PurePosixPath(member.filename)
            if not member.is_dir() and name.parent == PurePosixPath(RUN):
                with archive.open(member) as source, (run / name.name).open("wb") as out:
                    shutil.copyfileobj(source, out)
        yield run


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive, and turn the errors of damaged files into sentences."""
    if not path.is_file():
        raise UsageError(f"Archive {path} not found; create one with 'lightmeter serve archive RUN'.")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        # RuntimeError: encrypted; NotImplementedError: an unknown compression
        raise UsageError(f"{path} is not an archive, or is damaged ({error}).") from error
    except OSError as error:
        raise UsageError(f"The archive {path} cannot be read or copied ({error.strerror or error}).") from error


def _checked_spec(path: Path, archive: zipfile.ZipFile) -> ModelSpec:
    """Return the specification of an archive after all checks; sizes come from its directory, before members are read.

    Raises:
        UsageError: The archive must not be served.
    """
    if problem := _unsafe(archive):
        raise UsageError(f"Archive {path} refused: {problem}.")
    try:
        spec = spec_from(tomllib.loads(archive.read(f"{RUN}/{SPEC_FILE}").decode()))
        names = _model_names(json.loads(archive.read(MANIFEST)))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not an archive of a Lightmeter model ({error}).") from error
    if names != (spec.name, spec.version, HANDLER):
        raise UsageError(f"Archive {path} refused: its manifest and its {SPEC_FILE} name different models.")
    return spec


def _model_names(manifest: Any) -> tuple[str, str, str]:
    model = manifest["model"]
    return model["modelName"], model["modelVersion"], model["handler"]


def _check_regular(file: Path) -> None:
    """Refuse a link, which could pack a file from outside the run, and a pipe or device, which never ends.

    Raises:
        UsageError: The path is there and is no regular file.
    """
    if os.path.lexists(file) and not stat.S_ISREG(file.lstat().st_mode):
        raise UsageError(f"{file} is not a regular file; only the run's own files are archived.")


def _archive(path: Path, spec: ModelSpec) -> Archive:
    return Archive(
        path, spec.name, spec.version, str(spec.data.get("manifest_sha256", "")), sha256_of(path), spec.engine
    )


def _agreement(
    run: Path, engine: EngineName, dataset: "DatasetReference | Sequence[DatasetReference] | None"
) -> "EngineAgreement":
    from lightmeter.models.evaluation.engine_agreement import engine_agreement

    return engine_agreement(run, engine, dataset)


def _valid(kind: str, value: str) -> str:
    if not NAME.fullmatch(value):
        raise UsageError(f"Invalid model {kind} '{value}': use letters, digits, '.', '_' and '-'.")
    return value


def _members(run: Path, spec: ModelSpec, agreement: "EngineAgreement | None") -> dict[str, Path | str]:
    """Return the content of an archive: by member name, a file to copy or a text."""
    files: dict[str, Path | str] = {f"{RUN}/{name}": run / name for name in _OPTIONAL_FILES if (run / name).is_file()}
    if agreement:
        card = run / MODEL_CARD
        text = f"{card.read_text(encoding='utf-8').rstrip()}\n\n" if card.is_file() else ""
        files[f"{RUN}/{MODEL_CARD}"] = text + agreement.as_section()
    return {
        MANIFEST: json.dumps(_manifest(spec), indent=2),
        f"{RUN}/{SPEC_FILE}": tomli_w.dumps(spec.as_dict()),
        f"{RUN}/{WEIGHTS_FILE}": run / WEIGHTS_FILE,
        **files,
        **{f"{package}/__init__.py": "" for package in _EMPTY_PACKAGES},
        **_code(),
    }


def _code() -> dict[str, Path | str]:
    """Return the Python files of an archive by member name."""
    package = Path(lightmeter.__file__).parent
    files = [package / name for name in _CODE_FILES]
    files += [file for folder in _CODE_FOLDERS for file in (package / folder).rglob("*.py")]
    return {f"lightmeter/{file.relative_to(package).as_posix()}": file for file in files}


def _manifest(spec: ModelSpec) -> dict[str, object]:
    """Return what TorchServe reads first (TorchServe documentation, "Torch Model archiver", MANIFEST.json)."""
    model = {"modelName": spec.name, "modelVersion": spec.version, "handler": HANDLER}
    return {"createdOn": "01/01/1980 00:00:00", "runtime": "python", "model": model, "archiverVersion": "0.12.0"}


def _store(archive: zipfile.ZipFile, member: str, content: IO[bytes], size: int) -> None:
    info = zipfile.ZipInfo(member, _ZIP_EPOCH)
    info.create_system = 3  # Unix, whatever machine this runs on
    info.external_attr = 0o644 << 16
    info.file_size = size
    with archive.open(info, "w") as target:
        shutil.copyfileobj(content, target, 1 << 20)


def _unsafe(archive: zipfile.ZipFile) -> str | None:
    """Return why an archive must not be unpacked, or None."""
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS or sum(member.file_size for member in members) > _MAX_BYTES:
        return "it is larger than any model"
    for name in (MANIFEST, f"{RUN}/{SPEC_FILE}"):
        if any(member.filename == name and member.file_size > _MAX_TEXT_BYTES for member in members):
            return f"its member {name!r} has more than {_MAX_TEXT_BYTES:,} bytes"
    if len({member.filename for member in members}) < len(members):
        return "two of its members have the same name"
    for member in members:
        parts = member.filename.replace("\\", "/").split("/")
        if not parts[0] or ".." in parts or ":" in parts[0] or "\0" in member.filename:
            return f"its member {member.filename!r} would be written outside its folder"
        if (member.external_attr >> 16) & 0o170000 not in {0, 0o100000, 0o040000}:
            return f"its member {member.filename!r} is neither a file nor a folder"
    damaged = archive.testzip()
    return f"its member {damaged!r} is damaged" if damaged else None
