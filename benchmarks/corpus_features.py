"""Features of the photographs of a corpus; as a command, packs them with the labels for a machine without photographs.

    python -m benchmarks.corpus_features CORPUS ARRAYS.npz [--cache DIR]

CORPUS contains ``digital/PHOTOGRAPHER/…`` and ``film/PHOTOGRAPHER/…``. Each feature of ``lightmeter`` is kept
in 8 bits: standardised, on a square-root scale, within 8 standard deviations. The benchmarks of the corpus that read
features alone take such a file instead of a folder.
"""

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.corpus_tasks import Photo, read_photos
from lightmeter.models import architectures
from lightmeter.models.runtime.engines.pytorch import single_thread
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.models.runtime.spec import ModelSpec, Target
from lightmeter.models.training.heads.probe import Parts
from lightmeter.models.training.pretrained import load_backbones
from lightmeter.models.training.recipe import Recipe, read_recipe

_PROGRESS_INTERVAL = 200

_RANGE = 8.0  # standard deviations
_STEPS = 127


def read_corpus(
    corpus: Path, recipe: Recipe, cache: Path, photographs: int | None = None
) -> tuple[list[Photo], np.ndarray]:
    """Return the readable photographs of a corpus and their features, shape (N, F).

    Args:
        corpus: Folder of photographs, or a file that this module wrote.
        recipe: Recipe of the features.
        cache: Folder of cached features.
        photographs: Number to take of each photographer and medium at most, the first by their file names.
    """
    if corpus.suffix == ".npz":
        with np.load(corpus) as arrays:
            photos, features = _unpacked(arrays)
    else:
        photos = list(read_photos(corpus))
        features = compute_features(recipe, [photo.file for photo in photos], cache)
    ranks = rank_by_name(photos)
    usable = np.isfinite(features[:, 0]) & (True if photographs is None else ranks < photographs)
    return [photo for photo, keep in zip(photos, usable, strict=True) if keep], features[usable]


def rank_by_name(photos: Sequence[Photo]) -> np.ndarray:
    """Return the rank of each file name among those of its photographer and medium, which is random: a hash."""
    counts: Counter[tuple[str, str]] = Counter()
    ranks = np.zeros(len(photos), int)
    for index in sorted(range(len(photos)), key=lambda number: photos[number].file.name):
        key = photos[index].photographer, photos[index].medium
        ranks[index] = counts[key]
        counts[key] += 1
    return ranks


def part_widths(recipe: Recipe) -> Parts:
    """Return the widths of the parts of a recipe's features; none if they have no parts."""
    parts: Parts = getattr(architectures.build(_spec(recipe)), "parts", {})
    return parts


def untrained_predictor(recipe: Recipe) -> Predictor:
    """Return a predictor with the backbone weights of a recipe."""
    spec = _spec(recipe)
    network = architectures.build(spec)
    load_backbones(network, recipe)
    return Predictor(spec, network)


def _spec(recipe: Recipe) -> ModelSpec:
    target = Target("any", ("a", "b"))
    return ModelSpec(
        "corpus",
        "1.0",
        "",
        recipe.name,
        recipe.architecture,
        recipe.preprocessing,
        (target,),
        recipe.architecture_options,
    )


def compute_features(recipe: Recipe, files: Sequence[Path], cache: Path) -> np.ndarray:
    """Return the features of every photograph, shape (N, F), with a row of NaN for an unreadable photograph.

    The features of each photograph are kept in ``CACHE/RECIPE/BLOB.npy``, after the git object of its file.
    """
    folder = cache / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    predictor = untrained_predictor(recipe)
    network: Any = predictor.network

    def features_of(file: Path) -> np.ndarray:
        data = file.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        cached = folder / f"{blob[:16]}.npy"
        if cached.is_file():
            return np.asarray(np.load(cached))
        try:
            inputs = predictor.tensors(predictor.preprocess(data))
            with torch.inference_mode():
                features: np.ndarray = network.features(inputs)[0].numpy()
        except InvalidPhoto:
            features = np.full(1, np.nan, np.float32)
        np.save(cached, features)
        return features

    rows = []
    with single_thread(), ThreadPoolExecutor() as pool:
        for index, row in enumerate(pool.map(features_of, files)):
            rows.append(row)
            if index % _PROGRESS_INTERVAL == 0:
                print(f"{recipe.name}: {index} of {len(files)}", flush=True)
    width = max(len(row) for row in rows)
    return np.stack([row if len(row) == width else np.full(width, np.nan, np.float32) for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of photographs")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--cache", type=Path, default=Path(".corpus-cache"), help="folder of cached features")
    options = parser.parse_args()
    photos, features = read_corpus(options.corpus, read_recipe("lightmeter"), options.cache)
    centre, scale = features.mean(0), features.std(0).clip(1e-6)
    standard = (features - centre) / scale / _RANGE
    roots = np.sign(standard) * np.sqrt(np.abs(standard).clip(0, 1))
    records = json.dumps([{**asdict(photo), "file": photo.file.name} for photo in photos])
    np.savez_compressed(
        options.out,
        photos=np.frombuffer(records.encode(), np.uint8),
        features=np.round(_STEPS * roots).astype(np.int8),
        centre=centre,
        scale=scale,
    )
    print(f"{len(photos)} photographs, {options.out.stat().st_size / 1e6:.1f} MB")


def _unpacked(arrays: Mapping[str, Any]) -> tuple[list[Photo], np.ndarray]:
    records = json.loads(arrays["photos"].tobytes())
    photos = [Photo(**{**record, "file": Path(record["file"]), "size": tuple(record["size"])}) for record in records]
    roots = arrays["features"].astype(np.float32) / _STEPS
    return photos, np.sign(roots) * roots**2 * _RANGE * arrays["scale"] + arrays["centre"]


if __name__ == "__main__":
    main()
