"""``harvest contact-sheet``."""

from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import false

from lightmeter.errors import LightmeterError
from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.filters.contact_sheet import write_contact_sheet
from lightmeter.project import Project
from tests.support import CommandRunner


def test_contact_sheet_shows_photographs_of_both_verdicts(
    project: Path, photographs: Path, lightmeter: CommandRunner
) -> None:
    Image.new("RGB", (200, 150), "black").save(photographs / "black.jpg")
    lightmeter("harvest", "run", "folder", photographs)
    result = lightmeter("harvest", "contact-sheet", "--filter", "quality")
    assert (result["keep"], result["drop"]) == (6, 1)
    with Image.open(result["file"]) as sheet:
        assert sheet.width > 1000
        assert sheet.height > 500  # the dropped one is below the others
    opened = Project(project)
    with pytest.raises(LightmeterError, match="has inspected no photograph"):
        write_contact_sheet(open_engine(opened), opened.store, Path("empty.jpg"), "quality", where=false())
    assert not Path("empty.jpg").exists()


@pytest.mark.parametrize("options", [("--filter", "absent"), ("--filter", "quality", "--where", "absent")])
def test_unknown_filter_or_field_raises_error(
    project: Path, lightmeter: CommandRunner, options: tuple[str, ...]
) -> None:
    assert "absent" in lightmeter("harvest", "contact-sheet", *options, code=2)["error"]
