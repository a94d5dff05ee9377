"""``harvest contact-sheet``."""

from pathlib import Path

import pytest
from PIL import Image

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
    empty = lightmeter("harvest", "contact-sheet", "--filter", "quality", "--where", "iso > 9000", "--out", "empty.jpg")
    assert (empty["keep"], empty["drop"]) == (0, 0)
    assert Path("empty.jpg").is_file()


@pytest.mark.parametrize("options", [("--filter", "absent"), ("--filter", "quality", "--where", "absent")])
def test_unknown_filter_or_field_raises_error(
    project: Path, lightmeter: CommandRunner, options: tuple[str, ...]
) -> None:
    assert "absent" in lightmeter("harvest", "contact-sheet", *options, code=2)["error"]
