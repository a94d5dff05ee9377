"""The ML engineer's job, on a team's PostgreSQL and S3: recipes, training on two data sets, what a run records, comparison, the Python API, a served model.

Nothing but two settings and the credentials differs from a project on one machine.
"""

import csv
import subprocess
import tomllib
from pathlib import Path

import pytest

from lightmeter.serve.torchserve.config import free_ports
from tests.journeys.conftest import Installation
from tests.journeys.support import Journey, write_photographs
from tests.support import CommandRunner

TREES = "quality-features --device cpu --set iterations=3"


pytestmark = pytest.mark.server


@pytest.fixture
def journey(
    lightmeter: CommandRunner, tmp_path: Path, postgres_url: str, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> Journey:
    """A project with two data sets, of different photographers."""
    monkeypatch.setenv("LIGHTMETER_CATALOGUE__URL", postgres_url)
    monkeypatch.setenv("LIGHTMETER_STORE__URL", s3_url)
    journey = Journey(lightmeter, tmp_path)
    write_photographs(tmp_path / "photographs", 16)
    journey(
        f"harvest run folder {tmp_path / 'photographs'} --owner-from-folders --medium digital --assume-licence CC0-1.0"
    )
    journey("labels apply iso")
    halves = "owner ~ photographer-1", "not owner ~ photographer-1"
    for name, half in zip(("old-v1", "new-v1"), halves, strict=True):
        journey(f"labels split {name} --target iso --where '{half}' --ratios 50/25/25 --min-per-class 1")
    return journey


def test_engineer_trains_compares_and_uses_a_model(journey: Journey, installation: Installation) -> None:
    # settings that do not exist are answered with the nearest, a recipe of one's own with what it lacks
    assert "did you mean iterations" in journey(f"models train {TREES} --set iteratons=4 --data old-v1", code=2).error
    assert "did you mean" in journey("models train quality-feature --data old-v1", code=2).error
    assert "did you mean old-v1" in journey(f"models train {TREES} --data old-v2", code=2).error
    assert "given twice" in journey(f"models train {TREES} --data old-v1 --data old-v1", code=2).error

    # two data sets; progress without a terminal; everything is recorded
    trained = journey(f"models train {TREES} --data old-v1 --data new-v1 --name both --seed 3")
    table, _, folder = trained.output.rpartition("Run folder: ")
    assert all(len(line) <= 80 for line in table.splitlines()), table
    assert Path(folder.strip()).is_dir()  # not wrapped
    assert "best baseline" in trained.output
    assert "Next: lightmeter models evaluate both" in trained.error
    run = journey.project / "runs" / "both"
    recipe = (run / "recipe.toml").read_text()
    assert "models train recipe.toml --data old-v1 --data new-v1 --seed 3" in recipe
    assert tomllib.loads(recipe)["architecture_options"]["iterations"] == 3
    with (run / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3
    (entry,) = journey.document("models list")
    assert (entry["datasets"], entry["state"]) == (["old-v1", "new-v1"], "finished")

    # the report begins with the answer
    journey("models evaluate both")
    page = (run / "report.html").read_text()
    answer = page.partition('<p class="answer">')[2].partition("</p>")[0]
    assert answer.startswith("iso: accuracy ")
    assert "the best baseline (" in answer
    assert "old-v1 (manifest" in page
    assert "new-v1 (manifest" in page

    # another run, compared on the same photographs; a data set in use is not removed
    journey(
        "models train runs/both/recipe.toml --data old-v1 --data new-v1 --name more --set iterations=5 --device cpu"
    )
    journey("models evaluate more")
    compared = journey("models compare both more").output
    assert "iterations" in compared
    assert "in use by the run both" in journey("labels remove old-v1 --yes", code=2).error

    # Python, beside a module of the engineer's that has the name of a part of Lightmeter
    (journey.project / "models.py").write_text("")
    photo = journey.home / "photographs" / "photographer-0" / "0.jpg"
    code = (
        "from lightmeter import load_predictor, open_dataset; "
        "print(load_predictor('both').predict(PHOTO).predictions['iso'].label, len(open_dataset('new-v1').rows()))"
    )
    process = subprocess.run(
        [installation.python, "-c", code.replace("PHOTO", repr(str(photo)))],
        cwd=journey.project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    label, rows = process.stdout.split()
    assert (label in {"100", "400", "1600"}, int(rows)) == (True, 27)

    # photographs leave the object store for other programs; the model is served
    assert journey.document("harvest inspect")["photographs"] == 48
    packed = journey.document("labels pack old-v1 --format webdataset --out packed")["images"]
    assert packed == {"train": 9, "validation": 6, "test": 6}
    journey("serve archive both")
    settings = "".join(
        f"{name} = {port}\n"
        for name, port in zip(("port", "management_port", "metrics_port", "grpc_port"), free_ports(), strict=True)
    )
    with (journey.project / "lightmeter.toml").open("a") as file:
        file.write(f"\n[serve]\n{settings}")
    journey("serve start")
    try:
        (served,), (predicted,) = (journey.document(f"{layer} predict both {photo}") for layer in ("serve", "models"))
    finally:
        journey("serve stop")
    assert served["predictions"] == predicted["predictions"]
    assert not list(journey.project.glob("catalogue.sqlite*"))
    assert not (journey.project / "store").exists()
