"""Measure the steps of an ingest: what a worker process does with a photograph.

make bench ONLY=ingest-steps
"""

import contextlib
import hashlib
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

import cv2

from benchmarks.speed.ingest import SIZE, photograph
from benchmarks.speed.measurement import Benchmark, Contender
from lightmeter.harvest.exif.reader import read_exif
from lightmeter.harvest.filters.decode import decode, open_image
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.harvest.filters.pipeline import InspectionPlan
from lightmeter.harvest.ingest_task import IngestTask
from lightmeter.images.memory import keep_freed_memory
from lightmeter.settings import Settings
from lightmeter.store.local import LocalStore

_SIZES = {"500 px": SIZE, "1,024 px": (1024, 768)}
_VARIANTS, _REPETITIONS = 20, 3

Input = TypeVar("Input")


@contextlib.contextmanager
def contenders(folder: Path) -> Iterator[list[Contender]]:
    """Make photographs; yield the steps."""
    cv2.setNumThreads(1)
    keep_freed_memory()  # as in a worker process
    photographs = {name: [photograph(seed, size) for seed in range(_VARIANTS)] for name, size in _SIZES.items()}
    plan = InspectionPlan.from_settings(Settings())
    numbers = count()
    with LocalStore(folder / "store") as store:
        task = IngestTask(store, plan)
        result = task.run(photographs["500 px"][0])
        steps: dict[str, Callable[[bytes], object]] = {
            "all of the following": lambda data: _message(task.run(data + str(next(numbers)).encode())),
            "reading the header": open_image,
            "decoding, with the header": _decoded,
            "EXIF": read_exif,
            "hash, staging": lambda data: _stage(store, data + str(next(numbers)).encode()),
            "messages": lambda data: (_message(data), _message(result)),
        }
        rows = [Contender(name, partial(_measure, step, photographs)) for name, step in steps.items()]
        images = {name: [_decoded(data) for data in files] for name, files in photographs.items()}
        rows.append(Contender("grey and reduced images", partial(_measure, _reduce, images)))
        filters = [Contender(f"filter `{item.name}`", partial(_measure, item.apply, images)) for item in plan.filters]
        yield rows + filters


def _measure(step: Callable[[Input], object], inputs: Mapping[str, list[Input]]) -> dict[str, float]:
    """Return the CPU time of a step in ms a photograph, by size."""
    return {name: _cpu_ms(step, each) for name, each in inputs.items()}


def _cpu_ms(step: Callable[[Input], object], inputs: list[Input]) -> float:
    started = time.process_time()
    for _ in range(_REPETITIONS):
        for each in inputs:
            step(each)
    return 1000 * (time.process_time() - started) / (_REPETITIONS * len(inputs))


def _decoded(data: bytes) -> DecodedImage:
    with open_image(data) as image:
        return decode(image, 1)


def _reduce(image: DecodedImage) -> None:
    anew = object.__new__(DecodedImage)
    anew.pixels, anew._halvings = image.pixels, [image.pixels]  # without decoding again
    _ = anew.grey, anew.reduced


def _stage(store: LocalStore, data: bytes) -> None:
    store.stage(hashlib.sha256(data).hexdigest(), data)


def _message(content: object) -> object:
    return pickle.loads(pickle.dumps(content, pickle.HIGHEST_PROTOCOL))


BENCHMARK = Benchmark(
    title="Ingest, step by step",
    text="""What a worker process does with a photograph, in CPU ms, in one process, with all filters. The filters are
given images whose grey and reduced forms exist. A photograph is staged in the store by the worker; the crawling
process synchronises many of them with the disk at once.""",
    contenders=contenders,
    digits=2,
)
