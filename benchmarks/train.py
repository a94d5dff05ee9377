"""How fast models train and predict here.

    python benchmarks/train.py [--photographs 48] [--recipe haoran-cnn] [--device auto]

Photographs are made on the spot (JPEG, 1024 × 683). Prints, in photographs a second: our training step fed from the
cache, the same network fed with a tensor that lies ready, and a plain loop that decodes at every epoch; then cutting
grids in one piece against pixel by pixel; then prediction, one at a time and in threads.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models import architectures, devices
from models.predictor import Predictor, one_thread, to_tensors
from models.preprocess import read_photograph
from models.recipe import read_recipe
from models.spec import ModelSpec, Preprocessing, Target

BATCH = 8


def photograph(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 255, (12, 18, 3), np.uint8)).resize((1024, 683), Image.Resampling.BICUBIC)
    pixels = np.asarray(blobs, np.float32) + rng.normal(0, 8, (683, 1024, 3))
    content = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
    return content.getvalue()


def rate(count: int, work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return count / (time.perf_counter() - begun)


def predictor_of(name: str, device: str) -> Predictor:
    recipe = read_recipe(name)
    spec = ModelSpec(
        "benchmark", "1.0", "", name, recipe.architecture, recipe.cut, (Target("shutter", ("fast", "slow")),),
        recipe.architecture_options,
    )  # fmt: skip
    return Predictor(spec, architectures.build(spec), device)


def training(files: list[bytes], name: str, device: str) -> None:
    predictor = predictor_of(name, device)
    network, settings = predictor.network, predictor.spec.preprocessing
    optimiser = torch.optim.AdamW(network.train().parameters(), 1e-3)
    truth = torch.zeros(BATCH, dtype=torch.int64, device=predictor.device)

    def step(inputs: dict[str, torch.Tensor]) -> None:
        optimiser.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(network(inputs)["shutter"], truth).backward()
        optimiser.step()
        if predictor.device.type == "cuda":
            torch.cuda.synchronize()

    def tensors(stacked: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
        return to_tensors(stacked, settings, predictor.device)

    def decoded(batch: slice) -> dict[str, np.ndarray]:
        found = [predictor.read(data).inputs for data in files[batch]]
        return {name: np.stack([one[name] for one in found]) for name in found[0]}

    with tempfile.TemporaryDirectory() as folder:
        for name_, values in decoded(slice(0, len(files))).items():
            np.save(Path(folder) / f"{name_}.npy", values)
        cache = {file.stem: np.load(file, mmap_mode="r") for file in Path(folder).glob("*.npy")}
        batches = [slice(start, start + BATCH) for start in range(0, len(files), BATCH)]
        ready = tensors({name: np.array(values[batches[0]]) for name, values in cache.items()})
        step(ready)

        def read(batch: slice) -> dict[str, np.ndarray]:
            return {name: np.array(values[batch]) for name, values in cache.items()}

        def cached() -> None:
            with ThreadPoolExecutor(1) as reader:
                coming = reader.submit(read, batches[0])
                for after in [*batches[1:], None]:
                    taken = coming.result()
                    coming = reader.submit(read, after) if after else coming
                    step(tensors(taken))

        synthetic = rate(len(files), lambda: [step(ready) for _ in batches])
        ours = rate(len(files), cached)
        each = rate(len(files), lambda: [step(tensors(decoded(batch))) for batch in batches])
    print(f"training step ({name}, batch {BATCH}): {ours:.1f}/s from the cache, {synthetic:.1f}/s from a ready "
          f"tensor ({ours / synthetic:.0%}), {each:.1f}/s decoding every epoch")  # fmt: skip


def grids(files: list[bytes]) -> None:
    settings = Preprocessing(patches=256, patch_size=6, choice="coloured")
    ours = rate(len(files), lambda: [read_photograph(data, settings) for data in files])
    decoding = rate(len(files), lambda: [Image.open(io.BytesIO(data)).convert("RGB").load() for data in files])
    image = Image.open(io.BytesIO(files[0])).convert("RGB")

    def pixel_by_pixel() -> None:
        for top in range(0, image.height - 5, 6):
            for left in range(0, image.width - 5, 6):
                for row in range(6):
                    for column in range(6):
                        red, green, blue = image.getpixel((left + column, top + row))
                        max(red, green, blue) - min(red, green, blue)

    alone = 1 / (1 / ours - 1 / decoding)
    slow = rate(1, pixel_by_pixel)
    print(f"grids: {alone:.0f}/s without decoding ({ours:.0f}/s with), {slow:.2f}/s pixel by pixel over the whole "
          f"picture ({alone / slow:.0f} times)")  # fmt: skip


def prediction(files: list[bytes], device: str) -> None:
    for name in ("patches", "lightmeter"):
        predictor = predictor_of(name, device)
        few = files[:24]

        def one(data: bytes, predictor: Predictor = predictor) -> object:
            return predictor.predict([predictor.read(data)])

        one(few[0])
        single = rate(len(few), lambda few=few, one=one: [one(data) for data in few])
        with one_thread(), ThreadPoolExecutor() as pool:
            threads = rate(len(few), lambda few=few, one=one, pool=pool: list(pool.map(one, few)))
        print(f"prediction ({name}), from bytes: {single:.1f}/s one at a time, {threads:.1f}/s in threads")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=48)
    parser.add_argument("--recipe", default="haoran-cnn", help="whose training step is timed")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    device = devices.chosen(chosen.device)
    print(f"{devices.describe(device)}, torch {torch.__version__}")
    files = [photograph(seed) for seed in range(chosen.photographs)]
    training(files, chosen.recipe, device)
    grids(files[:16])
    prediction(files, device)


if __name__ == "__main__":
    main()
