"""``harvest contact-sheet``: a picture of what a filter kept and dropped."""

from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Lightmeter


def test_a_sheet_shows_both_kinds(project: Path, photographs: Path, lightmeter: Lightmeter) -> None:
    Image.new("RGB", (200, 150), "black").save(photographs / "black.jpg")
    lightmeter("harvest", "run", "folder", photographs)
    done = lightmeter("harvest", "contact-sheet", "--filter", "quality")
    assert (done["keep"], done["drop"]) == (6, 1)
    with Image.open(done["file"]) as sheet:
        assert sheet.width > 1000
    few = lightmeter("harvest", "contact-sheet", "--filter", "quality", "--where", "iso > 9000", "--out", "few.jpg")
    assert (few["keep"], few["drop"]) == (0, 0)
    assert Path("few.jpg").is_file()


@pytest.mark.parametrize("words", [("--filter", "nope"), ("--filter", "quality", "--where", "nope")])
def test_a_wrong_word_is_one_sentence(project: Path, lightmeter: Lightmeter, words: tuple[str, ...]) -> None:
    assert "nope" in lightmeter("harvest", "contact-sheet", *words, code=2)["error"]
