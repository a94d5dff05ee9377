"""Inputs, activations and features computed once and kept in memory-mapped files, so that devices need not wait.

The name of a cache contains the hash of everything that decides its content: the photographs, preprocessing, the
architecture with its options and its code, the weights, and the versions of the packages that compute it. It can be
deleted at any time. An incomplete one ends in ``.partial`` and is resumed from the last checkpoint (every 100
photographs).
"""

import errno
import hashlib
import inspect
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from filelock import FileLock
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from lightmeter.console import get_console
from lightmeter.documents import InvalidDocument, read_json
from lightmeter.errors import LightmeterError
from lightmeter.files import write_atomic
from lightmeter.images.geometry import Box
from lightmeter.labels.datasets.dataset import Dataset, crop_of
from lightmeter.models.architectures import get_builder
from lightmeter.models.runtime.engines import engine_version
from lightmeter.models.runtime.engines.outputs import OutputName
from lightmeter.models.runtime.predictor import Predictor, stack
from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.models.training.loader import Row, check_readable, each_photograph, unreadable
from lightmeter.project import find_optional_project

_FORMAT = 4  # of the folder; caches of other formats are not used
_INDEX = "index.json"
_CHECKPOINT_INTERVAL = 100  # photographs
_ENGINE_PACKAGES = ("pillow", "numpy", "torch", "timm")

Arrays = Mapping[str, NDArray[Any]]
Compute = Callable[[bytes, Box | None], Arrays]


@dataclass(frozen=True)
class Inputs:
    """Cached arrays of the photographs of a split.

    Attributes:
        arrays: Memory-mapped arrays by name, each with a leading axis of photographs.
        rows: Manifest rows of the photographs that could be decoded, in the order of the arrays.
        unreadable: The other photographs, with the reason.
    """

    arrays: Arrays
    rows: Sequence[Row]
    unreadable: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return some photographs as copies in memory; 16-bit floats become 32-bit floats."""
        taken = {name: np.asarray(values[indices]) for name, values in self.arrays.items()}
        return {
            name: values.astype(np.float32) if values.dtype == np.float16 else values for name, values in taken.items()
        }


def cached_inputs(predictor: Predictor, dataset: Dataset, rows: Sequence[Row]) -> Inputs:
    """Return the network inputs of a split, from the cache or by decoding each photograph once.

    Args:
        predictor: Its preprocessing is used.
        dataset: Data set with the photographs.
        rows: Manifest rows of one split, at least one.
    """

    def compute(data: bytes, box: Box | None) -> Arrays:
        return predictor.preprocess(data, box).inputs

    return _cached(dataset, rows, compute, input_identity(predictor), "preprocessing")


def cached_activations(predictor: Predictor, dataset: Dataset, rows: Sequence[Row]) -> Inputs:
    """Return the activations of a frozen backbone, computed once and kept as 16-bit floats.

    Args:
        predictor: Its network has ``encode``.
        dataset: Data set with the photographs.
        rows: Manifest rows of one split, at least one.
    """
    identity = output_identity(predictor, "activations", lambda name: "backbone" in name.partition(".")[0])

    def compute(data: bytes, box: Box | None) -> Arrays:
        activations = predictor.compute("activations", stack([predictor.preprocess(data, box)]))
        return {name: values[0].astype(np.float16) for name, values in activations.items()}

    return _cached(dataset, rows, compute, identity, "computing activations")


def cached_features(predictor: Predictor, dataset: Dataset, rows: Sequence[Row]) -> Inputs:
    """Return the inputs of the linear heads, computed once, as the array ``features``.

    Args:
        predictor: Its network has ``features``, which does not depend on its ``heads``.
        dataset: Data set with the photographs.
        rows: Manifest rows of one split, at least one.
    """
    identity = output_identity(predictor, "features", lambda name: not name.startswith("heads."))

    def compute(data: bytes, box: Box | None) -> Arrays:
        features = predictor.compute("features", stack([predictor.preprocess(data, box)]))
        return {name: values[0] for name, values in features.items()}

    return _cached(dataset, rows, compute, identity, "computing features")


def cache_root() -> Path:
    """Return the folder of files that can be computed or downloaded again: the first one that can be written.

    It is in the project, else in the user's cache folder, else among the temporary files.
    """
    for folder in _cache_folders():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    return _temporary_cache()


def input_identity(predictor: Predictor) -> dict[str, Any]:
    """Return everything that decides the inputs of a network for a photograph."""
    return {
        "preprocessing": asdict(predictor.spec.preprocessing),
        "packages": {name: _version(name) for name in ("lightmeter", *_ENGINE_PACKAGES)},
    }


def output_identity(predictor: Predictor, output: OutputName, used: Callable[[str], bool]) -> dict[str, Any]:
    """Return everything that decides an output of a network for a photograph.

    Args:
        predictor: Predictor of the network.
        output: Name of the output.
        used: Whether the output depends on the parameter or buffer of a name.
    """
    spec = predictor.spec
    state = {name: values for name, values in predictor.network.state_dict().items() if used(name)}
    return {
        **input_identity(predictor),
        "output": output,
        "architecture": [spec.architecture, dict(spec.architecture_options), builder_version(spec.architecture)],
        "weights": state_sha256(state),
        "device": predictor.device.type,
        "engine": engine_version(predictor.engine),
    }


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Return a hash of tensors with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, values in state.items():
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def builder_version(architecture: str) -> list[str]:
    """Return what identifies the code of an architecture: the versions of its packages, and the hash of its source."""
    plugins = entry_points(group="lightmeter.architectures", name=architecture)
    versions = [f"{plugin.dist.name} {plugin.dist.version}" for plugin in plugins if plugin.dist]
    return [*versions, _source_sha256(get_builder(architecture))]


@cache
def _source_sha256(builder: Callable[..., Any]) -> str:
    """Return the hash of the package folder, or of the file, that defines a builder; empty if there is no source."""
    module = inspect.getmodule(builder)
    try:
        file = Path(inspect.getsourcefile(builder) or "")
        files = sorted(file.parent.glob("*.py")) if module and module.__package__ else [file]
        return hashlib.sha256(b"".join(source.read_bytes() for source in files)).hexdigest()
    except (OSError, TypeError):
        return ""


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cache_folders() -> Iterator[Path]:
    project = find_optional_project()
    if project:
        yield project.state / "cache"
    if root := os.environ.get("XDG_CACHE_HOME"):
        yield Path(root) / "lightmeter"
    with suppress(RuntimeError):  # no home folder
        yield Path.home() / ".cache" / "lightmeter"


def _temporary_cache() -> Path:
    """Return a folder among the temporary files that nobody else can write to."""
    folder = Path(tempfile.gettempdir()) / f"lightmeter-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        folder = Path(tempfile.mkdtemp(prefix="lightmeter-"))
    get_console().note(f"Caches are kept in {folder}, because there is no home folder that can be written to.")
    return folder


def _cached(
    dataset: Dataset, rows: Sequence[Row], compute: Compute, identity: Mapping[str, Any], description: str
) -> Inputs:
    """Return the arrays computed for each photograph, from the folder named after all that determines them."""
    split = rows[0]["split"]
    photographs = [(row["sha256"], crop_of(row)) for row in rows]
    content = [_FORMAT, dataset.spec.manifest_sha256, photographs, identity]
    key = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:24]
    folder = cache_root() / f"{dataset.spec.name}-{split}-{key}"
    if not folder.exists():
        with only_process(folder.with_name(f".{folder.name}.lock")):
            if not folder.exists():
                partial = folder.with_name(f"{folder.name}.partial")
                partial.mkdir(exist_ok=True)
                try:
                    _fill(partial, dataset, rows, compute, f"{description}, {split}")
                finally:
                    if not (partial / _INDEX).exists():
                        shutil.rmtree(partial)
                partial.rename(folder)
    index, arrays = _read(folder, "r")
    check_readable(dataset, split, index["readable"])
    return Inputs(arrays, [rows[number] for number in index["readable"]], index["unreadable"])


@contextmanager
def only_process(file: Path) -> Iterator[None]:
    """Wait until no other process runs the block.

    Args:
        file: Lock file; deleted afterwards.
    """
    with FileLock(file):
        try:
            yield
        finally:
            file.unlink(missing_ok=True)  # processes that wait for the deleted file notice and create it anew


def _fill(partial: Path, dataset: Dataset, rows: Sequence[Row], compute: Compute, description: str) -> None:
    """Fill the arrays of a folder, resuming after the photographs that are done."""
    index: dict[str, Any] = {"arrays": [], "done": 0, "readable": [], "unreadable": []}
    arrays: dict[str, Any] = {}
    if (partial / _INDEX).exists():
        index, arrays = _read(partial, "r+")
    results = each_photograph(dataset, rows[index["done"] :], compute, description)
    for number, (row, result) in enumerate(results, index["done"]):
        if isinstance(result, InvalidPhoto):
            index["unreadable"].append(unreadable(row, result))
        else:
            arrays = arrays or _create_arrays(partial, result, len(rows))
            for name, values in result.items():
                arrays[name][len(index["readable"])] = values
            index["readable"].append(number)
        index["done"] = number + 1
        if index["done"] % _CHECKPOINT_INTERVAL == 0 or index["done"] == len(rows):
            for values in arrays.values():
                values.flush()
            write_atomic(partial / _INDEX, json.dumps({**index, "arrays": sorted(arrays)}))


def _read(folder: Path, mode: Literal["r", "r+"]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the index and the arrays of a cache.

    Raises:
        LightmeterError: A file is missing or damaged.
    """
    try:
        index = read_json(folder / _INDEX)
        return index, {name: np.load(folder / f"{name}.npy", mmap_mode=mode) for name in index["arrays"]}
    except (InvalidDocument, OSError, ValueError, KeyError, TypeError) as error:
        raise LightmeterError(f"The cache {folder} is damaged; delete this folder and try again.") from error


def _create_arrays(folder: Path, first: Arrays, count: int) -> dict[str, Any]:
    """Return writable arrays for all photographs; entries of unreadable ones stay unused at the end.

    Raises:
        LightmeterError: The disk is full. Writing to memory-mapped files without space would kill the process.
    """
    arrays = {}
    for name, values in first.items():
        file = folder / f"{name}.npy"
        arrays[name] = open_memmap(file, mode="w+", dtype=values.dtype, shape=(count, *values.shape))
        with file.open("r+b") as opened:
            try:
                os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    continue  # this file system cannot reserve space
                size = sum(array.nbytes for array in arrays.values()) / 1e6
                raise LightmeterError(
                    f"The disk of {folder.parent} is full: the cache of the photographs needs {size:,.0f} MB."
                ) from error
    return arrays
