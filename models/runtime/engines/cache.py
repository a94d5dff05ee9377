"""The user's cache of converted networks: writing a network as ONNX takes several times as long as compiling it.

The name of a file is the hash of everything that decides the graph: the weights, the layers with their attributes, the
source of their classes, the output and the version of PyTorch. A network whose source cannot be found is not cached. A
cached graph is compared with PyTorch as a new one is.
"""

import hashlib
import inspect
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch

from .outputs import NetworkOutput

_FORMAT = 1
_MAX_FILES = 16  # of each kind; a graph has the size of its weights
_SIMPLE = (str, int, float, bool, tuple, list, dict, type(None))


def cache_folder() -> Path | None:
    """Return the folder of converted networks; None if there is none that can be written to."""
    with suppress(OSError, RuntimeError):  # RuntimeError: no home folder
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = root / "lightmeter" / "engines"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    return None


def cached_onnx(output: NetworkOutput) -> bytes:
    """Return the graph of an output in ONNX, from the cache or converted and cached."""
    file = _file(output)
    if file is None:
        return output.onnx()
    with suppress(OSError):
        content = file.read_bytes()
        file.touch()  # the files used last are kept
        return content
    content = output.onnx()
    with suppress(OSError):
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".", delete=False) as temporary:
            temporary.write(content)
        Path(temporary.name).replace(file)
        _remove_oldest(file.parent)
    return content


def is_cached(output: NetworkOutput) -> bool:
    """Return whether the graph of an output is in the cache."""
    file = _file(output)
    return file is not None and file.exists()


def discard(output: NetworkOutput) -> None:
    """Remove the graph of an output from the cache."""
    if file := _file(output):
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _remove_oldest(folder: Path) -> None:
    """Remove the files that have not been used for longest, of each kind."""
    for pattern in ("*.onnx", "*.blob", "*.cl_cache"):
        files = sorted(folder.glob(pattern), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[_MAX_FILES:]:
            file.unlink(missing_ok=True)


def _file(output: NetworkOutput) -> Path | None:
    """Return the file of a graph, whether it exists or not; None if it is not cached."""
    folder = cache_folder()
    if folder is None:
        return None
    digest = hashlib.sha256()
    try:
        for part in _parts(output):
            digest.update(part if isinstance(part, bytes) else f"{part}\n".encode())
    except (OSError, TypeError):  # a class without source
        return None
    return folder / f"{digest.hexdigest()[:32]}.onnx"


def _parts(output: NetworkOutput) -> Iterator[object]:
    yield from (_FORMAT, torch.__version__, output.output, output.settings)
    folders = {Path(__file__).parent}
    for name, module in output.network.named_modules():
        kind = type(module)
        attributes = {key: value for key, value in sorted(vars(module).items()) if isinstance(value, _SIMPLE)}
        yield name, kind.__module__, kind.__qualname__, {k: v for k, v in attributes.items() if not k.startswith("_")}
        if not kind.__module__.startswith("torch."):
            folders.add(Path(inspect.getfile(kind)).parent)
    for folder in sorted(folders):
        yield from (file.read_bytes() for file in sorted(folder.glob("*.py")))
    for name, values in output.network.state_dict().items():
        yield name, values.dtype, tuple(values.shape)
        yield values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
