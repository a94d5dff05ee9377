"""The option ``--where`` of the commands that select photographs."""

from typing import Any

from tests.support import run_json, run_text


def test_every_command_applies_where(catalogue: Any) -> None:
    for iso, exposure_time_s in ((100.0, 1 / 500), (800.0, None), (400.0, None)):
        catalogue.photograph(iso=iso, exposure_time_s=exposure_time_s)

    def run(*args: str) -> Any:
        return run_json(*args, "--where", "iso <= 100")

    assert run("labels", "apply", "iso")["iso"]["labelled"] == {"100": 1}
    assert run("labels", "stats", "iso")["photographs"] == 1
    assert run("labels", "export", "labels.csv")["labels"] == 1
    assert run("labels", "audit", "iso") == []
    assert run("catalogue", "export")["rows"] == 1
    for author in ("ann", "bob"):
        run_text("labels", "set", "1.jpg", "2.jpg", "medium=film", "--author", author)
    assert run("labels", "agreement", "medium", "ann", "bob")["photographs"] == 1
