"""Nothing is found out at the end: names, folders, options and recipes are checked before the work begins."""

from pathlib import Path

import pytest

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.training.network.checkpoint import CHECKPOINT_FILE
from lightmeter.models.training.recipe import read_recipe
from lightmeter.models.training.reservation import complete_run, reserve_run
from lightmeter.models.training.train import _initial_predictor
from lightmeter.models.training.trial_pass import check_recipe
from tests.models.conftest import CNN, CONCEPT, MEDIUM, SHUTTER, SMALL, TINY, make_dataset
from tests.support import run_error


def test_two_trainings_never_share_a_name(project: Path) -> None:
    with reserve_run(None, None, "cnn-d") as first, reserve_run(None, None, "cnn-d") as second:
        assert (first.name, second.name) == ("cnn-d-1", "cnn-d-2")
        with pytest.raises(UsageError, match=r"is being trained by process \d+; choose another --name"):
            reserve_run(None, "cnn-d-1", "").__enter__()
        with pytest.raises(UsageError, match="is being trained"):
            reserve_run(project / "runs" / "cnn-d-2", None, "", restart=True).__enter__()
    assert not list((project / "runs").iterdir())


def test_name_is_that_of_the_model_in_any_folder(tmp_path: Path) -> None:
    with reserve_run(tmp_path / "deep" / "folder", "meter", "") as run:
        assert (run.name, run.folder) == ("meter", tmp_path / "deep" / "folder")


@pytest.mark.parametrize("name", ["../x", "x.partial", ".", "a b", "x" * 101])
def test_invalid_name_is_rejected(name: str, project: Path) -> None:
    with pytest.raises(UsageError, match="Invalid run name"):
        reserve_run(None, name, "").__enter__()


def test_folder_that_cannot_be_written_is_found_at_once(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file" / "run", tmp_path / "file" / "deep" / "run", Path("/proc/run")):
        error = run_error("models", "train", "patches", "--data", dataset.folder, "--out", out, *SMALL)
        assert "Cannot write" in error
        assert "selected" not in error


def test_checkpoint_is_never_overwritten(project: Path) -> None:
    with reserve_run(None, None, "cnn-d") as run:
        (run.partial / CHECKPOINT_FILE).write_bytes(b"a day of work")
    for name in (None, "cnn-d-1"):
        with pytest.raises(UsageError, match=r"continue it with --resume, or delete .* with --restart"):
            reserve_run(None, name, "cnn-d").__enter__()
    with reserve_run(None, None, "cnn-d-other") as other:
        (other.partial / CHECKPOINT_FILE).write_bytes(b"of another training")
    with reserve_run(None, None, "cnn-d", resume=True) as run:
        assert (run.name, run.resume) == ("cnn-d-1", True)
        assert (run.partial / CHECKPOINT_FILE).read_bytes() == b"a day of work"
    with reserve_run(None, None, "cnn-d", restart=True) as run:
        assert not (run.partial / CHECKPOINT_FILE).exists()
    with pytest.raises(UsageError, match="either --resume or --restart"):
        reserve_run(None, None, "cnn-d", resume=True, restart=True).__enter__()


def test_finished_run_is_kept_if_its_folder_is_taken(tmp_path: Path) -> None:
    def write() -> None:
        with reserve_run(tmp_path / "run", None, "") as run, complete_run(run) as temporary:
            (temporary / "model.toml").write_text("x")
            run.folder.mkdir()
            (run.folder / "other").write_text("y")

    kept = tmp_path / "run.partial" / "run"
    with pytest.raises(LightmeterError, match=f"the finished run is in {kept}"):
        write()
    assert (kept / "model.toml").read_text() == "x"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["view_size=4"], "of haoran-cnn"),
        (["freeze=['body', 'heads']"], "every part of the network is frozen in phase 1"),
        (["phases=[{epochs=1,learning_rate=1e-3},{epochs=1,learning_rate=1e-3,freeze=['']}]"], "frozen in phase 2"),
        (["cache_activations=true", "freeze=['backbone']"], "needs an architecture with encode"),
        (["training={method='probe'}"], "needs an architecture with features and linear heads"),
        (["training={method='boosting'}"], "needs the architecture 'trees'"),
        (["filters=100000000000000"], "Cannot build the network"),
    ],
)
def test_recipe_that_cannot_work_is_refused_before_any_work(
    changes: list[str], message: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lightmeter.models.runtime.predictor.preprocess", lambda *_: pytest.fail("a photograph was read")
    )
    options = [word for change in changes for word in ("--set", change)]
    command = ("models", "train", *CNN, *options, "--data", dataset.folder, "--out", tmp_path / "run")
    assert message in run_error(*command)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("learning_rate=nan", "learning_rate"),
        ("learning_rate=inf", "learning_rate"),
        ("learning_rate=-1e-3", "learning_rate"),
        ("weight_decay=nan", "weight_decay"),
        ("soft_target_std=1e-200", "soft_target_std"),
        ("architecture_options={dropout=nan}", "dropout must be a finite number"),
        ("architecture_options={widths=[1, [inf]]}", "widths must be a finite number"),
        ("mean=[nan, 1, 2]", "finite"),
        ("epochs=10000000000000000000", "epochs"),
        ("patience=-1", "patience"),
        ("training={method='probe', penalties=[-1.0]}", "penalties"),
        ("training={method='probe', penalties=[nan]}", "penalties"),
        ("training={method='boosting', learning_rate=nan}", "learning_rate"),
    ],
)
def test_numbers_of_a_recipe_are_finite_and_in_range(change: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_recipe("haoran-cnn", [change])


@pytest.mark.parametrize("seed", [-1, 2**32, 10**30])
def test_seed_out_of_range_is_refused(seed: int, dataset: Dataset, tmp_path: Path) -> None:
    command = ("models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / "run", "--seed", seed)
    assert "seed" in run_error(*command)


def test_several_targets_pass_the_first_pass(tmp_path: Path) -> None:
    """Its labels suit targets with one class and with several, and it changes no weight."""
    dataset = make_dataset(tmp_path / "all-v1", targets=(SHUTTER, MEDIUM, CONCEPT), count=6)
    for name, options in TINY.items():
        recipe = read_recipe(name, [option for option in options if "=" in option])
        predictor = _initial_predictor(recipe, dataset, "x", "cpu", "torch", 0)
        before = {key: value.clone() for key, value in predictor.network.state_dict().items()}
        check_recipe(predictor, recipe)
        assert all((value == before[key]).all() for key, value in predictor.network.state_dict().items())
