"""Measure prediction from bytes and the features of a training, with untrained networks of our recipes.

make bench ONLY=prediction
make bench ONLY=features
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.speed.measurement import Benchmark, Contender, Goal
from benchmarks.speed.train import make_dataset, photograph, rate, untrained_predictor
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.runtime.engines import EngineName
from lightmeter.models.runtime.engines.pytorch import single_thread
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.training.data.feature_cache import cached_outputs
from lightmeter.models.training.recipe import read_recipe
from lightmeter.terminal.console import Console, use_console

RECIPES = ("lightmeter", "patches")
FEATURES_PHOTOGRAPHS = 24
ENGINES: tuple[EngineName, ...] = ("torch", "openvino", "onnxruntime")
ONE, ALL = "one thread", "a thread per core"
BEST = "`lightmeter`, openvino"
_DATASET = 4000  # photographs of the goal


@contextmanager
def prediction_contenders(_: Path) -> Iterator[list[Contender]]:
    """Build the networks; yield one contender per recipe and engine."""
    files = [photograph(seed) for seed in range(12)]
    yield [
        Contender(row(recipe, engine), partial(prediction_rates, untrained(recipe, engine), files))
        for recipe in RECIPES
        for engine in ENGINES
    ]


def row(recipe: str, engine: str) -> str:
    """Return the name of a row."""
    return f"`{recipe}`, {engine}"


def untrained(recipe: str, engine: EngineName) -> Predictor:
    """Return an untrained predictor that has loaded its engine."""
    network = untrained_predictor(read_recipe(recipe), "cpu")
    predictor = Predictor(network.spec, network.network, "cpu", engine)
    predictor.predict(photograph(0))
    return predictor


def prediction_rates(predictor: Predictor, files: list[bytes]) -> dict[str, float]:
    """Return photographs per second from bytes, one after another and in threads."""
    sequential = rate(len(files), lambda: [predictor.predict(data) for data in files])
    with single_thread(), ThreadPoolExecutor() as pool:
        threads = rate(len(files), lambda: list(pool.map(predictor.predict, files)))
    return {ONE: sequential, ALL: threads}


@contextmanager
def feature_contenders(folder: Path) -> Iterator[list[Contender]]:
    """Write data sets, a new one for each measurement so that nothing is cached."""
    seeds = count()

    def measure(predictor: Predictor) -> dict[str, float]:
        start = next(seeds) * FEATURES_PHOTOGRAPHS
        files = [photograph(start + number) for number in range(FEATURES_PHOTOGRAPHS)]
        folder_of_round = folder / str(start)
        folder_of_round.mkdir()
        return feature_rate(predictor, make_dataset(files, folder_of_round))

    with use_console(Console(quiet=True)):
        yield [
            Contender(row("lightmeter", engine), partial(measure, untrained("lightmeter", engine)))
            for engine in ENGINES
        ]


def feature_rate(predictor: Predictor, dataset: Dataset) -> dict[str, float]:
    """Return the rate of features and the time for a whole data set at this rate."""
    rows = dataset.rows("train")
    photographs_s = rate(len(rows), lambda: cached_outputs(predictor, "features", dataset, rows))
    return {"photographs/s": photographs_s, f"minutes for {_DATASET:,}": _DATASET / photographs_s / 60}


PREDICTION = Benchmark(
    title="Prediction",
    text="Photographs per second, from the bytes of generated JPEG files of 1024 × 683 pixels, by recipe (untrained).",
    contenders=prediction_contenders,
    goals=[Goal(f"photographs/s, {BEST}", BEST, {ONE: 12, ALL: 18})],
    notes="""A forward pass of `lightmeter` takes 7.4 billion operations (PyTorch's FlopCounterMode: 16 patches of 128
pixels through EfficientNet-Lite0, a view of 384 pixels through Lite2), so a core does 7.4 billion times the
photographs/s of the table, in 32 bits. OpenVINO's counters: 62 % of the time in its graph are convolutions of 1 × 1,
19 % those of single channels, 7 % the means of the statistics, 12 % all else. A graph in which the numbers of
photographs and patches are open takes a third longer, since the statistics are then not fused; fewer patches at a time
gain nothing. About an eighth of the time of a photograph is not the network, but decoding, the view and the patches.
More needs a smaller network, fewer patches or fewer bits, which are other models.""",
)

FEATURES = Benchmark(
    title="Features for training",
    text=f"Features of the frozen backbone, as `models train lightmeter` computes them once, of {FEATURES_PHOTOGRAPHS} "
    "generated photographs of 1024 × 683 pixels, with decoding.",
    contenders=feature_contenders,
    goals=[Goal(BEST, BEST, {f"minutes for {_DATASET:,}": 4}, at_most=True)],
    notes="""Both cores compute the network of the section before, at the rate that they reach there: decoding does not
delay it. What that section says of its time holds here too.""",
)
