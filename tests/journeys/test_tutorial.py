"""The first commands of README and tutorial, one after another, as they stand there."""

from pathlib import Path

import pytest

from tests.journeys.support import write_photographs
from tests.lightmeter.test_documents import commands
from tests.support import ROOT, CommandRunner, jpeg

NOT_RUN = ("--install-completion", "browse", "labels review", "models", "serve")
"""Commands that wait for a person, or take long; the other journeys have models and servers."""


@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md"])
def test_commands_run(document: str, lightmeter: CommandRunner, tmp_path: Path) -> None:
    write_photographs(tmp_path / "Pictures", 16)
    (tmp_path / "photos").symlink_to("Pictures")
    for name in ("photograph.jpg", "holiday.jpg"):
        (tmp_path / name).write_bytes(jpeg(99))
    folder = tmp_path
    for args in commands(ROOT / document):
        line = " ".join(args)
        if not line.startswith(NOT_RUN):
            result = lightmeter.run(*(arg.replace("~", str(tmp_path)) for arg in args), folder=folder)
            assert result.code == 0, f"lightmeter {line}: {result.error}"
        if args[0] == "init":
            folder /= args[1]
    assert list(folder.glob("datasets/*/card.html"))
