"""The model that ships with Lightmeter.

The package holds its heads and the files of its run; the weights of its backbones lie in packages of their own. The
complete run folder is assembled from them on first use, among the files that can be computed again.
"""

import hashlib
import shutil
import tempfile
from dataclasses import replace
from importlib import resources
from pathlib import Path

from safetensors.torch import load_file

from lightmeter.cache_folder import cache_root
from lightmeter.files import sha256_of
from lightmeter.models import architectures
from lightmeter.models.runtime.spec import SPEC_FILE, WEIGHTS_FILE, BrokenModel, read_spec
from lightmeter.models.training.data.feature_cache import only_process
from lightmeter.models.training.pretrained import load_backbones
from lightmeter.models.training.recipe import RECIPE_FILE, read_recipe
from lightmeter.models.training.runs import DEFAULT_RUN, write_model

HEADS_FILE = "heads.safetensors"
"""Weights of the model that no other package holds."""


def package_folder() -> Path:
    """Return the folder of the package with the files of the run."""
    return Path(str(resources.files("lightmeter.models"))) / DEFAULT_RUN


def shipped_run() -> Path:
    """Return the complete run folder of the model that ships with Lightmeter, assembled if necessary."""
    source = package_folder()
    content = b"".join(file.read_bytes() for file in sorted(source.iterdir()) if file.is_file())
    folder = cache_root() / f"{DEFAULT_RUN}-{hashlib.sha256(content).hexdigest()[:16]}"
    if not _is_complete(folder):
        with only_process(folder.with_name(f".{folder.name}.lock")):
            if not _is_complete(folder):
                _assemble(source, folder)
    return folder


def _is_complete(folder: Path) -> bool:
    try:
        return sha256_of(folder / WEIGHTS_FILE) == read_spec(folder).weights_sha256
    except (OSError, BrokenModel):
        return False


def _assemble(source: Path, folder: Path) -> None:
    spec = replace(read_spec(source), weights_sha256="")
    network = architectures.build(spec)
    load_backbones(network, read_recipe(str(source / RECIPE_FILE)))
    network.load_state_dict(load_file(source / HEADS_FILE), strict=False)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        complete = Path(temporary) / "run"
        shutil.copytree(source, complete, ignore=shutil.ignore_patterns(HEADS_FILE, SPEC_FILE))
        write_model(complete, spec, network)
        shutil.rmtree(folder, ignore_errors=True)
        complete.rename(folder)
