"""``harvest duplicates``."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from tests.support import LOOPBACK, CommandRunner, Site, encode_image, run_error


def smooth_image(seed: int, size: tuple[int, int] = (400, 300)) -> Image.Image:
    """Return a smooth pattern that depends on the seed."""
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def test_near_duplicates_are_grouped_across_sources(lightmeter: CommandRunner, project: Path, site: Site) -> None:
    (project / "photographs").mkdir()
    for seed in range(4):
        (project / "photographs" / f"{seed}.jpg").write_bytes(encode_image(smooth_image(seed), quality=90))
    lightmeter("harvest", "run", "folder", project / "photographs")
    assert lightmeter("harvest", "duplicates") == []
    site.add_photo("/small.jpg", encode_image(smooth_image(1).resize((200, 150)), quality=90))
    site.add_photo("/again.jpg", encode_image(smooth_image(1), quality=60))
    site.add_photo("/soft.jpg", encode_image(smooth_image(2).filter(ImageFilter.GaussianBlur(1)), quality=70))
    (project / "urls.txt").write_text("".join(f"{site.url}{path}\n" for path in site.responses))
    assert lightmeter("harvest", "run", "urls", project / "urls.txt", env=LOOPBACK)["fetched"] == 3
    first, second = lightmeter("harvest", "duplicates")
    assert [member["file"] for member in first] == ["1.jpg", "again.jpg", "small.jpg"]
    assert [member["file"] for member in second] == ["2.jpg", "soft.jpg"]
    assert [member["sources"] for member in first] == [["folder"], ["urls"], ["urls"]]
    assert first[0]["distance"] == 0
    assert all(member["distance"] <= 4 for member in first)
    assert lightmeter("harvest", "duplicates", "--where", "width < 300") == []


def test_large_radius_is_rejected(project: Path) -> None:
    assert "--radius" in run_error("harvest", "duplicates", "--radius", "8")
