"""Model archives: a run, the predictor and the handler in one file that TorchServe loads.

An archive is a zip. Its members are stored, not deflated, in a fixed order and with fixed times, so the same run gives
the same bytes on any machine. The Python that serves it needs torch, numpy, Pillow and safetensors, and nothing of
Lightmeter: the modules that a prediction uses travel along, found by following imports from the handler.
"""

import ast
import json
import shutil
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec, resolve_name
from pathlib import Path

import tomli_w

from lightmeter.errors import UsageError
from lightmeter.files import atomic_path, sha256_of
from lightmeter.models.runtime.spec import NAME, SPEC_FILE, WEIGHTS_FILE, BrokenModel, ModelSpec, spec_from

MANIFEST = "MAR-INF/MANIFEST.json"
RUN = "run"
HANDLER = "lightmeter.serve.handler.handler"

_BESIDE = ("README.md", "metrics.json")  # the card and the figures in it, where the run has them
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
_PARENTS = ("lightmeter", "lightmeter.models", "lightmeter.serve")
_TRAVELLING = (
    "lightmeter.exposure",
    "lightmeter.geometry",
    "lightmeter.image_statistics",
    "lightmeter.models.runtime",
    "lightmeter.models.architectures",
    "lightmeter.serve.handler",
)
_LARGEST_MEMBERS = 1000
_LARGEST_BYTES = 8_000_000_000


@dataclass(frozen=True)
class Archive:
    """A model archive.

    Attributes:
        path: the file.
        name: of the model, in addresses and answers.
        version: of the model.
        dataset: SHA-256 of the manifest of the data set that it was trained on.
        sha256: of the archive itself.
    """

    path: Path
    name: str
    version: str
    dataset: str
    sha256: str


def write_archive(run: Path, folder: Path, name: str | None = None, version: str | None = None) -> Archive:
    """Write a run's archive.

    Args:
        run: the run folder.
        folder: where ``NAME.mar`` goes, or the archive's own path if it ends in ``.mar``.
        name: of the model; else the run's.
        version: of the model; else the run's.

    Raises:
        UsageError: if the run is damaged, or a name is impossible.
    """
    from lightmeter.models.runtime.predictor import Predictor

    try:
        spec = Predictor.load(run).spec
    except BrokenModel as error:
        raise UsageError(str(error)) from error
    spec = replace(spec, name=_fit(name or spec.name), version=_fit(version or spec.version))
    out = folder if folder.suffix == ".mar" else folder / f"{spec.name}.mar"
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for member, content in sorted(_members(run, spec).items()):
            _store(archive, member, content)
    return Archive(out, spec.name, spec.version, _dataset(spec), sha256_of(out))


def check_archive(path: Path) -> Archive:
    """Look at an archive before anything in it is loaded.

    Raises:
        UsageError: if it is no archive of Lightmeter's, is damaged, or has members that would leave its folder.
    """
    if not path.is_file():
        raise UsageError(f"There is no archive {path}; make one with 'lightmeter serve archive RUN'.")
    try:
        with zipfile.ZipFile(path) as archive:
            problem = _problem(archive)
            if problem:
                raise UsageError(f"{path} is not loaded: {problem}.")
            spec = _spec_in(archive)
            manifest = json.loads(archive.read(MANIFEST))["model"]
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:  # the last: encrypted
        raise UsageError(f"{path} is no archive, or is damaged ({error}).") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is no archive of a Lightmeter model ({error}).") from error
    if (manifest.get("modelName"), manifest.get("modelVersion")) != (spec.name, spec.version):
        raise UsageError(f"{path} is not loaded: its manifest names another model than its {SPEC_FILE}.")
    return Archive(path, spec.name, spec.version, _dataset(spec), sha256_of(path))


def _fit(name: str) -> str:
    if not NAME.fullmatch(name):
        raise UsageError(f"'{name}' cannot name a model or a version; use letters, digits, '.', '_' and '-' only.")
    return name


def _dataset(spec: ModelSpec) -> str:
    return str(spec.data.get("manifest_sha256", ""))


def _members(run: Path, spec: ModelSpec) -> dict[str, Path | str]:
    """Return what goes into an archive: by name in it, a file to copy or a text."""
    members: dict[str, Path | str] = {f"{RUN}/{SPEC_FILE}": tomli_w.dumps(spec.as_dict())}
    members[f"{RUN}/{WEIGHTS_FILE}"] = run / WEIGHTS_FILE
    members.update({f"{RUN}/{name}": run / name for name in _BESIDE if (run / name).is_file()})
    members.update(_modules(spec.architecture))
    members[MANIFEST] = json.dumps(_manifest(spec), indent=2)
    return members


def _manifest(spec: ModelSpec) -> dict[str, object]:
    """Return what TorchServe reads first (its docs, "Torch Model archiver", MANIFEST.json)."""
    model = {"modelName": spec.name, "modelVersion": spec.version, "handler": HANDLER}
    made = "01/01/1980 00:00:00"
    return {"createdOn": made, "runtime": "python", "model": model, "archiverVersion": "0.12.0"}


def _modules(architecture: str) -> dict[str, Path | str]:
    """Return the Python files that a prediction needs, by their name in the archive.

    The network of an architecture that another package offers is not among them: that package must be installed
    where the archive is served.
    """
    from lightmeter.models.architectures import BUILT_IN

    wanted = [HANDLER]
    if architecture in BUILT_IN:
        wanted.append(f"lightmeter.models.architectures.{BUILT_IN[architecture].partition(':')[0]}")
    found: dict[str, Path] = {}
    while wanted:
        module = wanted.pop()
        if module in found or not (module in _PARENTS or module.startswith(_TRAVELLING)):
            continue
        origin = _origin(module)
        if origin is None:  # a name in a module, not a module
            continue
        found[module] = origin
        wanted += [module.rpartition(".")[0], *_imports(module, origin)]
    return {_place(module, origin): origin for module, origin in found.items()}


def _origin(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except (ModuleNotFoundError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _place(module: str, origin: Path) -> str:
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if origin.name == "__init__.py" else f"{path}.py"


def _imports(module: str, origin: Path) -> Iterator[str]:
    """Yield every module that a module may import."""
    package = module if origin.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(origin.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            yield base
            yield from (f"{base}.{name.name}" for name in node.names)


def _store(archive: zipfile.ZipFile, member: str, content: Path | str) -> None:
    info = zipfile.ZipInfo(member, _EPOCH)
    info.create_system = 3  # Unix, on whatever machine this runs
    info.external_attr = 0o644 << 16
    if isinstance(content, str):
        archive.writestr(info, content)
        return
    info.file_size = content.stat().st_size
    with content.open("rb") as source, archive.open(info, "w") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def _problem(archive: zipfile.ZipFile) -> str | None:
    """Return why an archive must not be unpacked, if so."""
    members = archive.infolist()
    if len(members) > _LARGEST_MEMBERS or sum(member.file_size for member in members) > _LARGEST_BYTES:
        return "it is larger than a model is"
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        return "it has two members of one name"
    for member in members:
        parts = member.filename.replace("\\", "/").split("/")
        if member.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in member.filename:
            return f"its member {member.filename!r} would leave the folder"
        if (member.external_attr >> 16) & 0o170000 not in {0, 0o100000, 0o040000}:
            return f"its member {member.filename!r} is neither file nor folder"
    broken = archive.testzip()
    return f"its member {broken!r} is damaged" if broken else None


def _spec_in(archive: zipfile.ZipFile) -> ModelSpec:
    return spec_from(tomllib.loads(archive.read(f"{RUN}/{SPEC_FILE}").decode()))
