"""Measure a GPU: features of a recipe, training steps, batches of a server; takes less than four minutes.

    python -m benchmarks.speed.gpu [--seconds 200] [--only SECTION]... [--device cuda] [--photographs N] [--json FILE]

The sections are `features` (with reading and decoding), `training` (share of the GPU in an epoch), `network` (the
network alone, by precision and batch size, and its difference from the CPU) and `server`. Each result is printed as
soon as it is there; a section that fails does not stop the others. The JSON document is written to --json, else to the
folder $OUT, if it is set. On a CPU, with few photographs, it only shows that the script works.
"""

import argparse
import json
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.speed.train import make_dataset, photograph, untrained_predictor
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.runtime.engines import compare
from lightmeter.models.runtime.engines.outputs import NetworkOutput
from lightmeter.models.runtime.predictor import stack
from lightmeter.models.training.data.feature_cache import cached_outputs
from lightmeter.models.training.distributed import select_device
from lightmeter.models.training.fit import FitJob
from lightmeter.models.training.methods import Network
from lightmeter.models.training.network.optimisation import set_trainable
from lightmeter.models.training.network.trainer import Trainer
from lightmeter.models.training.recipe import read_recipe
from lightmeter.models.training.resource_usage import describe_device
from lightmeter.serve.handler.service import PredictionResponse, PredictionService
from lightmeter.terminal.console import Console, use_console

FEATURES = "lightmeter"
TRAINED = ("haoran-mobilenet", "haoran-cnn")
TRAINED_PHOTOGRAPHS = 2048
BATCHES = (1, 8, 32, 128)
PRECISIONS = {
    # TF32, channels last, bfloat16
    "float32": (False, False, False),
    "float32, channels last": (False, True, False),
    "TF32": (True, False, False),
    "TF32, channels last": (True, True, False),
    "bfloat16, channels last": (True, True, True),
}
SERVED = (1, 8, 32)
REPEATS = 5
DISTINCT = 100  # photographs that are generated; the others have the same pixels and other bytes behind their end

Result = dict[str, Any]
Batches = list[list[tuple[dict[str, bytes], bool]]]


@dataclass
class Job:
    """What the sections share.

    Attributes:
        device: torch device.
        files: Photographs.
        folder: Folder of the data sets.
        deadline: Time on the monotonic clock after which nothing new is begun.
    """

    device: str
    files: list[bytes]
    folder: Path
    deadline: float

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")

    @property
    def late(self) -> bool:
        """Whether the time is used up."""
        return time.monotonic() > self.deadline

    def dataset(self, name: str, photographs: int) -> Dataset:
        """Return a data set of the first photographs."""
        folder = self.folder / name
        folder.mkdir()
        return make_dataset(self.files[:photographs], folder)

    def seconds(self, function: Callable[[], object]) -> float:
        """Return the time of a function, until the device has computed what it was given."""
        start = time.perf_counter()
        function()
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def peak_gb(self) -> float:
        """Return the peak of the GPU's memory since the last call."""
        if not self.on_gpu:
            return 0.0
        peak = torch.cuda.max_memory_allocated() / 1e9
        torch.cuda.reset_peak_memory_stats()
        return peak


def features(job: Job) -> Iterator[Result]:
    """Yield the rate of features for a probe, reading and decoding included."""
    predictor = untrained_predictor(read_recipe(FEATURES), job.device)
    dataset = job.dataset("features", len(job.files))
    cached_outputs(predictor, "features", dataset, dataset.rows("validation"))  # loads kernels
    rows = dataset.rows("train")[2:]
    for part in (rows[: len(rows) // 4], rows[len(rows) // 4 :]):
        if part and not job.late:
            job.peak_gb()
            start = time.perf_counter()
            inputs = cached_outputs(predictor, "features", dataset, part)
            seconds = time.perf_counter() - start
            yield {
                "photographs": len(part),
                "photographs/s": len(part) / seconds,
                "network waiting": inputs.waiting_share,
                "memory GB": job.peak_gb(),
            }


def training(job: Job) -> Iterator[Result]:
    """Yield the rate of epochs of recipes, and the share of their time in which the GPU computes."""
    dataset = job.dataset("training", min(TRAINED_PHOTOGRAPHS, len(job.files)))
    rows = {split: dataset.rows(split) for split in ("train", "validation")}
    for name in TRAINED:
        recipe = read_recipe(name, ["weights="])
        assert isinstance(recipe.training, Network)
        predictor = untrained_predictor(recipe, job.device)
        trainer = Trainer(predictor, FitJob(dataset, rows, 0, job.folder / "partial"), recipe.training)
        phase = recipe.training.phases[-1]
        set_trainable(trainer.network, phase)
        forwards = {"layer by layer": trainer.network, "as trained": trainer.forward(phase)}
        for way, forward in forwards.items():
            if job.late or (not job.on_gpu and way == "as trained"):
                break
            optimisation = trainer.optimisation(phase)

            epoch = partial(trainer.train_epoch, forward, optimisation, phase)

            job.peak_gb()
            epoch()
            seconds = median(job.seconds(epoch) for _ in range(REPEATS if job.on_gpu else 1))
            yield {
                "recipe": name,
                "passes": way,
                "photographs/s": len(trainer.train_data) / seconds,
                "GPU's share": kernel_seconds(epoch) / seconds if job.on_gpu else None,
                "batch": recipe.training.batch_size,
                "memory GB": job.peak_gb(),
            }


def kernel_seconds(function: Callable[[], object]) -> float:
    """Return the time in which a function's kernels run; profiling slows down what starts them, but not them."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA], acc_events=True) as profile:
        function()
        torch.cuda.synchronize()
    return float(sum(event.self_device_time_total for event in profile.key_averages())) / 1e6


def network(job: Job) -> Iterator[Result]:
    """Yield the rate of the network for inputs that are on the device, and the difference from the CPU."""
    recipe = read_recipe(FEATURES)
    predictors = []
    for device in ("cpu", job.device):
        torch.manual_seed(0)
        predictors.append(untrained_predictor(recipe, device))
    reference, predictor = predictors
    photographs = [reference.preprocess(data) for data in job.files[: BATCHES[1]]]
    expected = np.concatenate([reference.compute("features", stack([photo]))["features"] for photo in photographs])
    for name, (tf32, channels_last, bfloat16) in PRECISIONS.items():
        torch.backends.cudnn.allow_tf32 = tf32
        function = NetworkOutput(predictor.network, "features", recipe.preprocessing).eval().to(job.device)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        for parameter in predictor.network.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=layout)

        def run(inputs: list[torch.Tensor], function: Any = function, bfloat16: bool = bfloat16) -> torch.Tensor:
            with torch.inference_mode(), torch.autocast(job.device.split(":")[0], torch.bfloat16, enabled=bfloat16):
                (values,) = function(*inputs)
                return torch.as_tensor(values).float()

        for size in BATCHES if job.on_gpu else BATCHES[:1]:
            if job.late:
                return
            examples = (photographs * size)[:size]
            inputs = [torch.as_tensor(values).to(job.device) for values in stack(examples).values()]
            computed = run(inputs).cpu().numpy()[: len(expected)]
            job.peak_gb()
            seconds = median(job.seconds(partial(run, inputs)) for _ in range(REPEATS))
            yield {
                "precision": name,
                "batch": size,
                "photographs/s": size / seconds,
                "largest difference": compare({"": expected[: len(computed)]}, {"": computed}),
                "memory GB": job.peak_gb(),
            }
    torch.backends.cudnn.allow_tf32 = False


def server(job: Job) -> Iterator[Result]:
    """Yield the rate of the prediction service by batch size, and how far its probabilities are from the CPU's."""
    recipe = read_recipe(FEATURES)
    files = job.files[: SERVED[-1]] if job.on_gpu else job.files[:2]
    torch.manual_seed(0)
    on_cpu = PredictionService(untrained_predictor(recipe, "cpu"))
    expected = [_probabilities(on_cpu.respond({"body": data}).document) for data in files]
    torch.manual_seed(0)
    service = PredictionService(untrained_predictor(recipe, job.device))
    for size in SERVED:
        if job.late or size > len(files):
            return
        batches = [
            [({"body": data}, False) for data in files[start : start + size]] for start in range(0, len(files), size)
        ]
        batches = [batch for batch in batches if len(batch) == size]
        answers = respond(service, batches)
        seconds = median(job.seconds(partial(respond, service, batches)) for _ in range(3))
        yield {
            "batch": size,
            "photographs/s": len(answers) / seconds,
            "of it in the network, ms a photograph": 1000 * median(answer.inference_s for answer in answers),
            "decoding, ms a photograph": 1000 * median(answer.decoding_s for answer in answers),
            "largest difference": max(
                float(np.abs(_probabilities(answer.document) - truth).max())
                for answer, truth in zip(answers, expected, strict=False)
            ),
        }


def respond(service: PredictionService, batches: Batches) -> list[PredictionResponse]:
    """Return the answers to all requests of batches."""
    return [answer for batch in batches for answer in service.respond_to_batch(batch)]


def _probabilities(document: dict[str, Any]) -> np.ndarray:
    return np.asarray(list(document["predictions"]["shutter"]["probabilities"].values()))


SECTIONS: dict[str, Callable[[Job], Iterator[Result]]] = {
    "features": features,
    "training": training,
    "network": network,
    "server": server,
}


def measure(job: Job, names: list[str]) -> dict[str, list[Result]]:
    """Run sections and print their results; a section that fails has its error as the last result."""
    results: dict[str, list[Result]] = {}
    for name in names:
        rows = results.setdefault(name, [])
        try:
            for row in SECTIONS[name](job):
                rows.append({key: round(value, 7) if isinstance(value, float) else value for key, value in row.items()})
                print(name, json.dumps(rows[-1]), flush=True)
        except Exception as error:  # noqa: BLE001 - the other sections shall run
            traceback.print_exc()
            rows.append({"error": f"{type(error).__name__}: {error}"})
        if job.late:
            print(f"The time is used up in the section {name}.", flush=True)
            break
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:NUMBER")
    parser.add_argument("--photographs", type=int, default=4000, help="number of photographs (default: 4000)")
    parser.add_argument("--only", action="append", choices=list(SECTIONS), help="section to run (default: all)")
    parser.add_argument("--seconds", type=float, default=200, help="begin nothing new after this time (default: 200)")
    parser.add_argument(
        "--json", type=Path, help="file to write the results to (default: $OUT/gpu.json, if $OUT is set)"
    )
    args = parser.parse_args()
    deadline = time.monotonic() + args.seconds
    device = select_device(args.device)
    distinct = [photograph(seed) for seed in range(min(args.photographs, DISTINCT))]
    files = [distinct[number % len(distinct)] + number.to_bytes(4, "big") for number in range(args.photographs)]
    about = {
        "device": describe_device(device),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("torch", "numpy", "pillow")},
        "photographs": args.photographs,
    }
    print(json.dumps(about), flush=True)
    with tempfile.TemporaryDirectory() as folder, use_console(Console()):
        os.environ["XDG_CACHE_HOME"] = folder
        results = measure(Job(device, files, Path(folder), deadline), args.only or list(SECTIONS))
    file = args.json or (Path(os.environ["OUT"]) / "gpu.json" if os.environ.get("OUT") else None)
    if file:
        file.write_text(json.dumps({**about, **results}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
