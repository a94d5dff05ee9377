"""What the filters measure, against truth: made on the spot, and told by eye for real photographs."""

import csv
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps, ImageStat

from lightmeter.harvest.filters import DecodedImage, FilterResult, InspectionPlan, inspect, load_filters
from lightmeter.harvest.filters.faces import crop, find_faces
from lightmeter.harvest.filters.perceptual_hash import group_by_hamming_radius, perceptual_hash
from lightmeter.image_statistics import jpeg_quality
from tests.support import encode_image

SIDES = ("left", "top", "right", "bottom")

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def scene(height: int = 240, width: int = 320, seed: int = 0) -> Pixels:
    """Return something like a picture: coloured blobs of many sizes."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.random((side, side, 3)), (width, height), interpolation=cv2.INTER_CUBIC) for side in (3, 9, 30)
    ]
    return (sum(layers) / 3 * 200 + 25).clip(0, 255).astype(np.uint8)


def jpeg(pixels: Pixels, quality: int = 85) -> bytes:
    return encode_image(pixels, quality=quality)


def look(data: bytes, name: str) -> FilterResult:
    inspected = inspect(data, InspectionPlan(tuple(load_filters({}, [name]))))
    assert inspected.problem is None
    return inspected.results[name]


def framed(pixels: Pixels, widths: tuple[int, int, int, int], colour: tuple[int, int, int], sigma: float = 0) -> Pixels:
    left, top, right, bottom = widths
    framed = np.array(ImageOps.expand(Image.fromarray(pixels), widths, colour), dtype=float)
    noise = np.random.default_rng(1).normal(0, sigma, framed.shape)
    noise[top : framed.shape[0] - bottom, left : framed.shape[1] - right] = 0
    return (framed + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("widths", "colour", "sigma"),
    [
        ((20, 20, 20, 20), (255, 255, 255), 0), ((12, 40, 12, 40), (0, 0, 0), 0), ((24, 24, 24, 90), (240, 235, 220), 1),
        ((0, 30, 0, 30), (0, 0, 0), 2), ((40, 10, 22, 31), (200, 200, 200), 3), ((30, 0, 30, 0), (90, 20, 20), 0),
        ((5, 5, 5, 5), (255, 255, 255), 0),
    ],
)  # fmt: skip
def test_frames_are_found_with_their_widths(
    widths: tuple[int, int, int, int], colour: tuple[int, int, int], sigma: float
) -> None:
    finding = look(jpeg(framed(scene(), widths, colour, sigma)), "borders")
    assert finding.reason == "frame"
    assert [finding.measures[side] for side in SIDES] == pytest.approx(widths, abs=1)
    (inside,) = finding.detections
    assert (inside.box.width, inside.box.height) == pytest.approx((320, 240), abs=2)


@pytest.mark.parametrize(("strip", "quality"), [(70, 60), (70, 90), (90, 75)])
def test_a_film_s_rebate_is_a_frame_whatever_stands_in_it(strip: int, quality: int) -> None:
    """A scanned strip: perforations above and below, letters between them and the picture."""
    image = Image.fromarray(framed(scene(480, 800), (20, strip, 20, strip), (24, 20, 18), 1))
    draw = ImageDraw.Draw(image)
    for top in (12, image.height - strip + 22):
        for left in range(10, image.width - 40, 60):
            draw.rounded_rectangle((left, top, left + 34, top + 36), 6, fill=(250, 250, 248))
    draw.text((200, strip - 18), "SAFETY FILM 23A", fill=(240, 190, 60))
    finding = look(jpeg(np.asarray(image), quality), "borders")
    assert [finding.measures[side] for side in SIDES] == pytest.approx((20, strip, 20, strip), abs=1)


def test_lights_in_a_night_are_no_perforations() -> None:
    night = np.zeros((300, 400, 3), dtype=np.uint8)
    rng = np.random.default_rng(4)
    for x, y in rng.integers((0, 20), (400, 280), (150, 2)).tolist():
        cv2.circle(night, (x, y), 6, (255, 240, 200), -1)
    assert look(jpeg(night), "borders").verdict == "keep"


def test_a_picture_without_a_frame_has_none() -> None:
    night = np.zeros((240, 320, 3), dtype=np.uint8)
    cv2.circle(night, (160, 120), 40, (250, 250, 240), -1)
    for pixels in (scene(), night, np.full((100, 100, 3), 128, np.uint8)):
        finding = look(jpeg(pixels), "borders")
        assert (finding.verdict, finding.detections, finding.measures["widest"]) == ("keep", (), 0.0)


def toned(pixels: Pixels, light: tuple[int, int, int]) -> Pixels:
    grey = np.asarray(Image.fromarray(pixels).convert("L"), dtype=float)[..., None] / 255
    return (grey * light).clip(0, 255).astype(np.uint8)


def test_grey_and_toned_pictures_are_told_from_coloured_ones() -> None:
    grey = toned(scene(), (255, 255, 255))
    assert look(jpeg(grey, 50), "monochrome").reason == "grey"
    assert look(jpeg(grey[..., 0].copy(), 50), "monochrome").reason == "grey"
    assert look(jpeg(toned(scene(), (255, 220, 170)), 60), "monochrome").reason == "toned"
    assert look(jpeg(toned(scene(), (150, 200, 255)), 60), "monochrome").reason == "toned"
    assert look(jpeg(scene()), "monochrome").verdict == "keep"


def test_a_small_coloured_object_is_colour() -> None:
    pixels = toned(scene(), (255, 255, 255))
    pixels[100:120, 100:120] = (200, 40, 40)  # half a percent
    assert look(jpeg(pixels), "monochrome").verdict == "keep"


@pytest.mark.parametrize("size", [(240, 320), (257, 300), (600, 40), (3, 3)])
def test_quality_measures_are_those_of_opencv_and_pillow(size: tuple[int, int]) -> None:
    image = Image.open(io.BytesIO(jpeg(scene(*size))))
    grey = image.convert("L")
    measures = look(jpeg(scene(*size)), "quality").measures
    expected = cv2.Laplacian(np.asarray(grey), cv2.CV_64F).var()
    assert measures["laplacian_variance"] == pytest.approx(expected, rel=1e-9)
    stat = ImageStat.Stat(grey)
    assert measures["brightness"] == pytest.approx(stat.mean[0])
    assert measures["rms_brightness"] == pytest.approx(stat.rms[0])
    assert measures["contrast"] == pytest.approx(stat.stddev[0])


@pytest.mark.parametrize("sigma", [2.0, 5.0, 15.0])
def test_noise_is_measured_as_it_was_added(sigma: float) -> None:
    smooth = cv2.GaussianBlur(scene(400, 400), (0, 0), 8).astype(float)
    noisy = (smooth + np.random.default_rng(2).normal(0, sigma, (400, 400, 1))).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "PNG")
    assert look(file.getvalue(), "quality").measures["noise_sigma"] == pytest.approx(sigma, rel=0.1)


def test_compression_shows() -> None:
    pixels = cv2.GaussianBlur(scene(400, 400), (0, 0), 2)
    harsh, gentle = (look(jpeg(np.asarray(pixels, np.uint8), q), "quality").measures["blockiness"] for q in (10, 95))
    assert harsh > 1.5 > gentle


@given(st.integers(1, 100))
@settings(max_examples=30, deadline=None)
def test_the_quality_of_a_jpeg_is_read_from_its_tables(quality: int) -> None:
    tables = Image.open(io.BytesIO(jpeg(np.zeros((8, 8, 3), np.uint8), quality))).quantization  # type: ignore[attr-defined]
    assert abs(jpeg_quality(tables) - quality) <= 1  # type: ignore[operator]


def test_worthless_pictures_are_dropped_with_the_reason() -> None:
    assert look(jpeg(np.zeros((64, 64, 3), np.uint8)), "quality").reason == "black"
    assert look(jpeg(np.full((64, 64, 3), 255, np.uint8)), "quality").reason == "white"
    assert look(jpeg(np.full((64, 64, 3), 90, np.uint8)), "quality").reason == "blank"
    assert look(jpeg(scene(20, 20)), "quality").reason == "tiny"
    assert look(jpeg(scene()), "quality").reason is None


def test_copies_have_near_hashes_and_others_do_not() -> None:
    original = scene()
    smaller = np.asarray(Image.fromarray(original).resize((160, 120)))
    brighter = (original * 0.8 + 30).astype(np.uint8)
    first = perceptual_hash(original)
    assert (first ^ perceptual_hash(smaller)).bit_count() <= 4
    assert (first ^ perceptual_hash(brighter)).bit_count() <= 4
    assert all((first ^ perceptual_hash(scene(seed=n))).bit_count() > 12 for n in range(1, 20))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_copy_has_the_same_hash(orientation: int) -> None:
    original = Image.fromarray(scene(300, 300))
    tags = Image.Exif()
    tags[0x0112] = orientation
    file = io.BytesIO()
    original.save(file, "PNG", exif=tags)
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue())))
    assert perceptual_hash(np.asarray(original), orientation) == perceptual_hash(np.asarray(shown))
    assert DecodedImage(original, orientation).orientation == orientation


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(0, 7), st.data())
@settings(max_examples=60, deadline=None)
def test_grouping_is_what_comparing_all_pairs_gives(hashes: list[int], radius: int, data: st.DataObject) -> None:
    for one in hashes[:10]:  # neighbours, which chance would hardly make
        flips = data.draw(st.lists(st.integers(0, 63), max_size=radius + 2))
        hashes.append(one ^ sum(1 << bit for bit in set(flips)))
    labels = list(range(len(hashes)))
    for i, one in enumerate(hashes):
        for j in range(i):
            if (one ^ hashes[j]).bit_count() <= radius:
                low, high = sorted((labels[i], labels[j]))
                labels = [low if label == high else label for label in labels]
    assert group_by_hamming_radius(np.array(hashes, dtype=np.uint64), radius).tolist() == labels


def test_a_radius_that_cannot_be_exact_is_refused() -> None:
    with pytest.raises(ValueError, match="radius"):
        group_by_hamming_radius(np.array([1, 2], dtype=np.uint64), 8)


@pytest.mark.shared
def test_real_photographs_are_judged_as_a_person_does(shared: Path) -> None:
    """All but those that the table of truth itself calls doubtful."""
    left_out = {"borders": {"p126", "p131", "p137"}, "monochrome": {"p005", "p079"}}
    plan = InspectionPlan(tuple(load_filters({}, ["borders", "monochrome"])))
    with (shared / "photos" / "truth.csv").open() as file:
        for truth in csv.DictReader(file):
            results = inspect((shared / "photos" / truth["file"]).read_bytes(), plan).results
            name = truth["file"].removesuffix(".jpg")
            if name not in left_out["borders"]:
                widths = [0] * 4 if truth["border"] == "none" else [int(w) for w in truth["border"].split(",")]
                assert [results["borders"].measures[side] for side in SIDES] == pytest.approx(widths, abs=1), name
            if name not in left_out["monochrome"]:
                assert (results["monochrome"].reason or "no") == truth["monochrome"], name


@pytest.mark.shared
def test_faces_are_found_in_stored_pixels_however_the_picture_is_turned(shared: Path) -> None:
    image = Image.open(shared / "photos" / "p113.jpg")
    upright_face = find_faces(DecodedImage(image.convert("RGB")))[0].box
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    for orientation, turn in turns.items():  # rotated the other way, so that the tag corrects it
        stored = DecodedImage(image.convert("RGB").transpose(turn), orientation)
        face = find_faces(stored)[0].box
        shown = crop(stored, face, 0.0)
        x, y, width, height = upright_face
        expected = np.asarray(image.convert("RGB").crop((x, y, x + width, y + height)).resize(shown.shape[1::-1]))
        assert np.abs(shown.astype(int) - expected).mean() < 15  # up to a pixel aside
        assert crop(stored, face, 0.3).shape[0] > shown.shape[0]


@pytest.mark.shared
def test_faces_are_found_in_real_photographs(shared: Path) -> None:
    (faces,) = load_filters({}, ["faces"])
    found = told = right = 0
    with (shared / "photos" / "truth.csv").open() as file:
        for truth in csv.DictReader(file):
            if int(truth["faces"]) >= 0:
                measures = (
                    inspect((shared / "photos" / truth["file"]).read_bytes(), InspectionPlan((faces,)))
                    .results["faces"]
                    .measures
                )
                number = sum(s >= 0.8 and z >= 36 for s, z in zip(measures["scores"], measures["sizes"], strict=True))
                found, told, right = (
                    found + number,
                    told + int(truth["faces"]),
                    right + min(number, int(truth["faces"])),
                )
    assert right / told >= 0.9
    assert right / found >= 0.8


def test_faces_can_be_asked_for() -> None:
    finding = look(jpeg(scene()), "faces")
    assert (finding.verdict, finding.measures["scores"]) == ("keep", [])
    (wanted,) = load_filters({"faces": {"min_faces": 1}}, ["faces"])
    assert wanted.judge(finding.measures).reason == "too few faces"
