"""Functions for notebooks and scripts, exported by `lightmeter.models`."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args

from lightmeter.errors import UsageError
from lightmeter.executors.options import ExecutorName
from lightmeter.labels.datasets.union import DatasetReference, open_datasets
from lightmeter.models.evaluation.evaluate import evaluate_run
from lightmeter.models.runtime.engines import EngineName
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.training.distributed import from_main_process, is_main_process, process_group, select_engine
from lightmeter.models.training.packed_model import open_cluster
from lightmeter.models.training.recipe import Recipe, flat_settings, read_recipe, training_engine
from lightmeter.models.training.reservation import reserve_run
from lightmeter.models.training.runs import find_run, open_run, training_dataset
from lightmeter.models.training.tracking import open_tracking
from lightmeter.models.training.train import TrainingRun, check_seed
from lightmeter.models.training.train import train as train_recipe
from lightmeter.plugins import unknown_name_message
from lightmeter.project import find_optional_project
from lightmeter.settings import LoggerName, read_settings


def load_predictor(run: str | Path, device: str = "cpu", engine: EngineName | None = None) -> Predictor:
    """Load the model of a run.

    Args:
        run: Run folder, or the name of a run of the project; ``default`` is the model that ships with Lightmeter.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:NUMBER``.
        engine: What runs the network: ``torch``, ``openvino`` or ``onnxruntime`` (default: the project's setting).

    Returns:
        A predictor; its method ``predict`` takes a path, the bytes of a file or an image opened with Pillow.

    Raises:
        UsageError: The folder is not a run folder or is damaged, or the engine cannot be used.

    Example:
        >>> predictor = load_predictor("patches-iso-demo-1")
        >>> prediction = predictor.predict("photograph.jpg")
        >>> sorted(prediction.predictions)
        ['iso']
    """
    name, device = select_engine(engine, device)
    return open_run(Path(run), device, name)


def train(  # noqa: PLR0913 - an argument an option of the command
    recipe: Recipe | str,
    dataset: DatasetReference | Sequence[DatasetReference],
    out: str | Path | None = None,
    *,
    name: str | None = None,
    device: str = "auto",
    engine: EngineName | None = None,
    seed: int = 0,
    resume: bool = False,
    restart: bool = False,
    loggers: Sequence[str] | None = None,
    executor: ExecutorName = "local",
    address: str | None = None,
) -> TrainingRun:
    """Train a recipe on a data set and evaluate it on validation; the test split is not read.

    Args:
        recipe: A recipe, the name of a built-in one, or the path of a TOML file.
        dataset: A data set, its folder, or its name in the project; or several with the same targets, which are united
            unless a photograph, a photographer or a group is in several splits.
        out: Run folder; must not exist (default: ``runs/NAME`` of the project).
        name: Name of the run and of the served model (default: that of the folder).
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:NUMBER``.
        engine: What computes the features of a probe: ``torch``, ``openvino`` or ``onnxruntime`` (default: the
            project's setting). Networks are trained with torch.
        seed: Random seed, from 0 to 4,294,967,295.
        resume: Resume from the last checkpoint of an interrupted training, if there is one.
        restart: Delete the checkpoint of an interrupted training and start again.
        loggers: Experiment trackers: ``tensorboard``, ``mlflow``, ``wandb`` (default: the project's setting).
        executor: Where the photographs are decoded and the features of a probe computed: ``local`` or ``ray``. The
            training itself runs here.
        address: Address of the Ray cluster (default: that of ``RAY_ADDRESS``, or a cluster on this machine).

    Returns:
        The run folder and its metrics.

    Raises:
        UsageError: The recipe or the data set is invalid, the folder exists, another process trains this run, or the
            engine or Ray cannot be used.

    Example:
        >>> run = train("quality-features", "iso-demo", seed=1)
        >>> sorted(run.metrics["validation"]["targets"])
        ['iso']
    """
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    opened = open_datasets(dataset)
    check_seed(seed)
    selected = _loggers(loggers)
    wanted, (engine, device) = device, select_engine(training_engine(recipe, engine), device)
    default = f"{recipe.name}-{opened.spec.name}"
    reservation = reserve_run(Path(out) if out else None, name, default, resume=resume, restart=restart)
    with process_group(device), ExitStack() as stack:
        run = from_main_process(lambda: stack.enter_context(reservation))
        cluster = stack.enter_context(open_cluster(executor, address, wanted, engine))
        names = selected if is_main_process() else ()
        project = find_optional_project()
        folder = project.root if project else run.folder.parent
        tracking = stack.enter_context(open_tracking(names, run.name, folder, flat_settings(recipe)))
        return train_recipe(
            recipe, opened, run, device=device, engine=engine, seed=seed, tracking=tracking, executor=cluster
        )


def evaluate(
    run: str | Path,
    dataset: DatasetReference | Sequence[DatasetReference] | None = None,
    device: str = "auto",
    engine: EngineName | None = None,
    executor: ExecutorName = "local",
    address: str | None = None,
) -> dict[str, Any]:
    """Evaluate a run on the test split of its data set; each evaluation is recorded in the run.

    Args:
        run: Run folder, or the name of a run of the project.
        dataset: The data set that it was trained on, its folder or its name in the project, or several (default: the
            data sets of the same names in the project).
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:NUMBER``.
        engine: What runs the network: ``torch``, ``openvino`` or ``onnxruntime`` (default: the project's setting).
        executor: Where the network runs: ``local`` or ``ray``.
        address: Address of the Ray cluster (default: that of ``RAY_ADDRESS``, or a cluster on this machine).

    Returns:
        Content of ``metrics.json``.

    Raises:
        UsageError: The run was trained on another data set, a folder is invalid, or Ray cannot be used.

    Example:
        >>> metrics = evaluate("patches-iso-demo-1")
        >>> sorted(metrics["test"]["targets"]["iso"]["macro_f1"])
        ['high', 'low', 'value']
    """
    predictor = load_predictor(run, device, engine)
    opened = training_dataset(predictor, dataset)
    with open_cluster(executor, address, device, predictor.engine) as cluster:
        return evaluate_run(find_run(Path(run)), predictor, opened, cluster)


def _loggers(names: Sequence[str] | None) -> Sequence[LoggerName]:
    """Return the names of trackers, by default those of the settings.

    Raises:
        UsageError: There is no such tracker.
    """
    project = find_optional_project()
    selected = names or (project.settings if project else read_settings(None)).models.loggers
    existing: tuple[LoggerName, ...] = get_args(LoggerName)
    unknown = [name for name in selected if name not in existing]
    if unknown:
        raise UsageError(unknown_name_message("logger", unknown[0], existing))
    return [name for name in existing if name in selected]
