from pathlib import Path

import pytest
from PIL import Image

from tests.support import Lightmeter


def test_contact_sheet_shows_kept_and_dropped_photographs(
    project: Path, photographs: Path, lightmeter: Lightmeter
) -> None:
    Image.new("RGB", (200, 150), "black").save(photographs / "black.jpg")
    lightmeter("harvest", "run", "folder", photographs)
    result = lightmeter("harvest", "contact-sheet", "--filter", "quality")
    assert (result["keep"], result["drop"]) == (6, 1)
    with Image.open(result["file"]) as sheet:
        assert sheet.width > 1000
    empty = lightmeter("harvest", "contact-sheet", "--filter", "quality", "--where", "iso > 9000", "--out", "empty.jpg")
    assert (empty["keep"], empty["drop"]) == (0, 0)
    assert Path("empty.jpg").is_file()


@pytest.mark.parametrize("options", [("--filter", "nope"), ("--filter", "quality", "--where", "nope")])
def test_unknown_filter_or_field_raises_error(project: Path, lightmeter: Lightmeter, options: tuple[str, ...]) -> None:
    assert "nope" in lightmeter("harvest", "contact-sheet", *options, code=2)["error"]
