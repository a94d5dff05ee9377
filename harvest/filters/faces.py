"""Faces: boxes, landmarks and scores from YuNet, and crops."""

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lightmeter.harvest.filters import yunet
from lightmeter.harvest.filters.base import KEEP, Detection, Filter, Measurement, Measures, Verdict
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.images.geometry import Box, Size, display_size, points_to_file, to_file, upright
from lightmeter.images.pixels import Pixels
from lightmeter.settings import Section

_MAX_SIDE = 640  # of the image that the network sees; it detects faces from 12 px
_MIN_SCORE = 0.6
_FIRST_SIDE = 320  # of the image that it sees first
_MIN_FIRST_SCORE = 0.2  # there; faces of at least 36 px scored 0.3 or more in all 250 photographs that were compared
_MIN_SIDE_OF_TWO_PASSES = 400
_MAX_FACES = 200
_LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")
"""Right and left from the person's point of view."""


class FacesSettings(Section):
    """Settings of the filter ``faces``."""

    min_score: float = Field(0.8, ge=_MIN_SCORE, le=1, description="minimum score of a face that is counted")
    min_size: int = Field(36, ge=0, description="minimum longer side of a face that is counted, in pixels")
    min_faces: int = Field(0, ge=0, description="photographs with fewer faces are dropped")
    max_faces: int = Field(_MAX_FACES, ge=0, description="photographs with more faces are dropped")


class Faces(Filter[FacesSettings]):
    """Detects faces; drops nothing unless the settings ask for a number of faces."""

    name: ClassVar[str] = "faces"
    version: ClassVar[int] = 3
    summary: ClassVar[str] = "faces, with landmarks"
    Settings = FacesSettings

    def measure(self, image: DecodedImage) -> Measurement:
        """Return scores, best first, longer sides in pixels, and the largest as a fraction of the shorter side."""
        faces = find_faces(image)
        sizes = [max(face.box.width, face.box.height) for face in faces]
        measures = {
            "scores": [face.score for face in faces],
            "sizes": sizes,
            "largest": max(sizes, default=0) / min(image.width, image.height),
        }
        return Measurement(measures, faces)

    def judge(self, measures: Measures) -> Verdict:
        """Drop with the reason ``too few faces`` or ``too many faces``."""
        settings = self.settings
        faces = zip(measures["scores"], measures["sizes"], strict=True)
        count = sum(score >= settings.min_score and size >= settings.min_size for score, size in faces)
        if count < settings.min_faces:
            return Verdict("drop", "too few faces")
        return Verdict("drop", "too many faces") if count > settings.max_faces else KEEP


def find_faces(image: DecodedImage) -> tuple[Detection, ...]:
    """Return the faces in file coordinates, best first.

    A smaller image is looked at first: where nothing in it is like a face, the larger one has none either.
    """
    if max(image.width, image.height) > _MIN_SIDE_OF_TWO_PASSES and not _has_candidates(image):
        return ()
    reduced = _fitted(image, _MAX_SIDE)
    rows = yunet.detect(reduced, _MIN_SCORE)
    return tuple(_detection(row, Size(reduced.shape[1], reduced.shape[0]), image) for row in rows)


def crop(image: DecodedImage, box: Box, margin: float) -> Pixels:
    """Return a part of an image in display orientation, with a margin.

    Args:
        image: The image.
        box: The part, in file coordinates.
        margin: Margin on each side, as a fraction of the longer side of the box; less at the edge of the image.
    """
    pixels = round(margin * max(box.width, box.height))
    x, y = max(0, box.x - pixels), max(0, box.y - pixels)
    right, bottom = min(image.width, box.x + box.width + pixels), min(image.height, box.y + box.height + pixels)
    return upright(image.crop(Box(x, y, right - x, bottom - y)), image.orientation)


def _has_candidates(image: DecodedImage) -> bool:
    return yunet.best_score(_fitted(image, _FIRST_SIDE)) >= _MIN_FIRST_SCORE


def _fitted(image: DecodedImage, side: int) -> Pixels:
    """Return an image in colour whose longer side is at most ``side`` pixels, in display orientation."""
    pixels = np.ascontiguousarray(upright(image.reduced_to(2 * side - 1), image.orientation))
    scale = side / max(pixels.shape)
    if scale >= 1:
        return pixels
    height, width = (max(1, round(length * scale)) for length in pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR))


def _detection(row: NDArray[np.float32], reduced: Size, image: DecodedImage) -> Detection:
    """Convert a row of YuNet (x, y, width, height, five landmarks, score) to file coordinates of the full image.

    Boxes are rounded in display coordinates, so that they are the same whatever the orientation.
    """
    size = Size(image.width, image.height)
    shown = display_size(size, image.orientation)
    corners = np.stack((row[:2], row[:2] + row[2:4]))
    points = np.concatenate((corners, row[4:14].reshape(5, 2))) * np.divide(shown, reduced)
    limits = np.array(shown)
    low = points[:2].min(axis=0).clip(0, limits - 1).astype(int)
    high = np.maximum(points[:2].max(axis=0).clip(0, limits).astype(int), low + 1)
    box = to_file(Box(*low.tolist(), *(high - low).tolist()), size, image.orientation)
    landmarks = {
        name: [round(float(x), 1), round(float(y), 1)]
        for name, (x, y) in zip(_LANDMARKS, points_to_file(points[2:], size, image.orientation), strict=True)
    }
    return Detection("face", box, round(float(row[14]), 4), {"landmarks": landmarks})
