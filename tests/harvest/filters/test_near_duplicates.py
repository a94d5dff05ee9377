"""``harvest duplicates``: the same picture from several sources, in several sizes."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from tests.support import Lightmeter, Site, encode_image


def picture(seed: int, size: tuple[int, int] = (400, 300)) -> Image.Image:
    """Return a soft pattern; another seed, another picture."""
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    return encode_image(image, quality=quality)


def test_copies_are_found_across_sources_the_best_first(lightmeter: Lightmeter, project: Path, site: Site) -> None:
    (project / "mine").mkdir()
    for seed in range(4):
        (project / "mine" / f"{seed}.jpg").write_bytes(jpeg(picture(seed)))
    lightmeter("harvest", "run", "folder", project / "mine")
    assert lightmeter("harvest", "duplicates") == []
    site.add_photo("/small.jpg", jpeg(picture(1).resize((200, 150))))
    site.add_photo("/again.jpg", jpeg(picture(1), quality=60))
    site.add_photo("/soft.jpg", jpeg(picture(2).filter(ImageFilter.GaussianBlur(1)), quality=70))
    (project / "theirs.txt").write_text("".join(f"{site.url}{path}\n" for path in site.responses))
    private = {"LIGHTMETER_CRAWL__PRIVATE_ADDRESSES": "true"}
    assert lightmeter("harvest", "run", "urls", project / "theirs.txt", env=private)["fetched"] == 3
    first, second = lightmeter("harvest", "duplicates")
    assert [copy["file"] for copy in first] == ["1.jpg", "again.jpg", "small.jpg"]
    assert [copy["file"] for copy in second] == ["2.jpg", "soft.jpg"]
    assert [copy["sources"] for copy in first] == [["folder"], ["urls"], ["urls"]]
    assert first[0]["distance"] == 0
    assert all(copy["distance"] <= 4 for copy in first)
    assert lightmeter("harvest", "duplicates", "--where", "width < 300") == []


def test_a_radius_that_cannot_be_exact_is_wrong_use(lightmeter: Lightmeter, project: Path) -> None:
    done = lightmeter.process("harvest", "duplicates", "--radius", "8")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
