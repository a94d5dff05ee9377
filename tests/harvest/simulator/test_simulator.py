"""The simulated camera: optics, motion, sensor, film and EXIF."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import ExifTags

from lightmeter.harvest.simulator import motion, optics
from lightmeter.harvest.simulator.camera import Body, FilmBody, point_spread
from lightmeter.harvest.simulator.film import Stock
from lightmeter.harvest.simulator.light import Settings, metered_luminance
from lightmeter.harvest.simulator.motion import TRIPOD, CameraShake
from lightmeter.harvest.simulator.photographers import shot
from lightmeter.harvest.simulator.scene import Layer, Scene, draw_scene, title_of
from lightmeter.harvest.simulator.sensor import Sensor
from tests.harvest.simulator.images import SIZE, exif_tags, pixels_of

SENSOR = Sensor(36.0, 24.0, 4.0)
BODY = Body("LM Full", "LM00000001", SENSOR)
SETTINGS = Settings(f_number=5.6, exposure_time_s=1 / 125, iso=200, focal_length_mm=50)


def noise(data: bytes) -> float:
    """Return the standard deviation of differences between neighbouring pixels, which ignores smooth gradients."""
    return float(np.diff(pixels_of(data), axis=1).std())


def grey_card(depth: float = 1.0, speed: tuple[float, float] = (0.0, 0.0)) -> Scene:
    paint = np.full((SIZE[1], SIZE[0], 4), 0.18, np.float32)
    paint[..., 3] = 1
    return Scene("Grey card", SIZE, 1.0, (Layer(paint, (0, 0), depth, speed),))


def kernel_deviation(kernel: np.ndarray) -> tuple[float, float]:
    """Return the standard deviations of a kernel, horizontal and vertical."""
    ys, xs = np.mgrid[: kernel.shape[0], : kernel.shape[1]]
    variances = ((kernel * axis**2).sum() - (kernel * axis).sum() ** 2 for axis in (xs, ys))
    across, down = (math.sqrt(max(float(variance), 0.0)) for variance in variances)
    return across, down


class TestLens:
    def test_circle_of_confusion_follows_the_thin_lens_formula(self) -> None:
        # A 50 mm lens at f/2 focused at 2 m, a point at 10 m: 25 mm · 0.8 · 50 / 1950.
        assert optics.blur_circle_mm(50, 2.0, 2000, 10_000) == pytest.approx(0.5128, abs=1e-4)
        assert optics.blur_circle_mm(50, 2.0, 2000, 2000) == 0

    @pytest.mark.parametrize("diameter", [4.0, 7.3, 15.0])
    def test_disc_has_the_given_diameter(self, diameter: float) -> None:
        kernel = optics.disc(diameter)
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        assert kernel_deviation(kernel)[0] == pytest.approx(
            math.hypot(diameter / 4, 12**-0.5), rel=0.05
        )  # a uniform disc and a pixel

    @pytest.mark.parametrize("f_number", [1.4, 2.0, 4.0])
    def test_background_blur_grows_with_the_aperture(self, f_number: float) -> None:
        scene = grey_card(depth=10)
        kernel = point_spread(scene, scene.layers[0], replace(SETTINGS, f_number=f_number), 36.0, TRIPOD)
        expected_px = 50 / f_number * 0.9 / 1000 * SIZE[0]  # A · |1 − 1/ρ|, in a frame one metre wide
        assert kernel_deviation(kernel)[0] == pytest.approx(math.hypot(expected_px / 4, 12**-0.5), rel=0.08)

    def test_subject_is_in_focus(self) -> None:
        scene = grey_card()
        kernel = point_spread(scene, scene.layers[0], replace(SETTINGS, f_number=1.8), 36.0, TRIPOD)
        assert kernel.max() == 1

    def test_smaller_aperture_sharpens_the_background(self) -> None:
        scene = draw_scene(11)
        sharpness = []
        for f_number in (2.8, 5.6, 11, 22):
            grey = pixels_of(BODY.take(scene, replace(SETTINGS, f_number=f_number))).mean(axis=2)[:200]
            sharpness.append(np.abs(np.diff(grey, axis=1)).mean())
        assert sharpness == sorted(sharpness)

    def test_corners_are_darker_by_cos4(self) -> None:
        light = optics.falloff((641, 481), 36.0, 36.0)[..., 0]
        assert light[240, 320] == pytest.approx(1, abs=1e-4)
        assert light[240, 640] == pytest.approx(math.cos(math.atan(0.5)) ** 4, rel=0.01)


class TestMotion:
    @pytest.mark.parametrize("seconds", [1 / 60, 1 / 15, 1 / 4])
    def test_motion_blur_is_proportional_to_the_exposure_time(self, seconds: float) -> None:
        across, down = kernel_deviation(motion.path(seconds, (240.0, 0.0), TRIPOD, 900))
        assert across == pytest.approx(
            math.hypot(240 * seconds / math.sqrt(12), 6**-0.5), rel=0.03
        )  # an even line, in pixels
        assert down < 0.1

    def test_motion_blur_is_inversely_proportional_to_the_distance(self) -> None:
        lengths = []
        for depth in (2.0, 4.0):
            scene = grey_card(depth, speed=(2.0, 0.0))
            still = replace(SETTINGS, f_number=64.0, exposure_time_s=1 / 8)
            lengths.append(kernel_deviation(point_spread(scene, scene.layers[0], still, 36.0, TRIPOD))[0])
        assert lengths[0] / lengths[1] == pytest.approx(2, rel=0.05)

    def test_camera_shake_is_proportional_to_the_focal_length(self) -> None:
        shake = CameraShake(drift=(0.05, 0.0), tremor=(0.0, 5e-4))
        short, long = (motion.path(1 / 4, (0, 0), shake, px) for px in (600, 1200))
        assert kernel_deviation(long)[0] / kernel_deviation(short)[0] == pytest.approx(2, rel=0.05)

    def test_motion_path_has_a_maximum_length(self) -> None:
        assert motion.path(2.0, (100_000.0, 0.0), TRIPOD, 900).shape[1] <= motion.MAX_PATH_PX + 3


class TestSensor:
    def expose(self, iso: int, sensor: Sensor = SENSOR) -> np.ndarray:
        settings = replace(SETTINGS, iso=iso)
        light = np.full((200, 200, 3), metered_luminance(settings), np.float32)
        return sensor.expose(light, settings, np.random.default_rng(0))

    def test_metered_grey_has_the_same_signal_at_every_iso(self) -> None:
        for iso in (100, 800, 6400):  # H = q K / S = 8.125 / S, of 78 / S
            assert self.expose(iso).mean() == pytest.approx(8.125 / 78, rel=0.02)

    def test_noise_is_shot_noise_plus_read_noise(self) -> None:
        for iso in (100, 800, 6400):
            full = SENSOR.full_well(iso)
            electrons = 8.125 / 78 * full
            assert self.expose(iso).std() * full == pytest.approx(math.sqrt(electrons + 9), rel=0.03)

    def test_larger_photosites_are_less_noisy(self) -> None:
        large = replace(SENSOR, photosite_um=8.0)
        assert self.expose(1600, large).std() < 0.6 * self.expose(1600).std()

    def test_light_beyond_the_full_well_is_white(self) -> None:
        light = np.full((8, 8, 3), 1e6, np.float32)
        assert SENSOR.expose(light, SETTINGS, np.random.default_rng(0)).mean() > 0.97

    def test_image_noise_grows_with_iso(self) -> None:
        low, middle, high = (noise(BODY.take(grey_card(), replace(SETTINGS, iso=iso))) for iso in (100, 800, 6400))
        assert low < 0.6 * middle < 0.36 * high

    def test_two_stops_less_light_darkens_the_image(self) -> None:
        scene, right = grey_card(), metered_luminance(SETTINGS)
        dark, fair = (pixels_of(BODY.take(scene, SETTINGS, luminance=light)).mean() for light in (right / 4, right))
        assert dark < 0.65 * fair


class TestExif:
    def test_digital_photograph_has_complete_exif(self) -> None:
        tags = exif_tags(BODY.take(draw_scene(1, SIZE), SETTINGS, lens="LM 50 mm f/2"))
        base = ExifTags.Base
        assert tags[base.Make] == "Lightmeter"
        assert tags[base.Model] == "LM Full"
        assert "simulated" in str(tags[base.Software])
        assert tags[base.FNumber] == 5.6
        assert tags[base.ExposureTime] == 1 / 125
        assert tags[base.ISOSpeedRatings] == 200
        assert tags[base.FocalLength] == 50
        assert tags[base.FocalLengthIn35mmFilm] == 50
        assert tags[base.BodySerialNumber] == "LM00000001"
        assert tags[base.LensModel] == "LM 50 mm f/2"
        assert tags[base.DateTimeOriginal] == "2000:01:01 00:00:00"
        assert tags[base.Flash] == 0x10

    def test_smaller_sensor_has_a_longer_equivalent_focal_length(self) -> None:
        small = replace(BODY, sensor=Sensor(17.3, 13.0, 3.3))
        tags = exif_tags(small.take(draw_scene(1, SIZE), replace(SETTINGS, focal_length_mm=25)))
        assert tags[ExifTags.Base.FocalLengthIn35mmFilm] == 50

    def test_film_scan_has_no_exposure_in_exif(self) -> None:
        film = FilmBody(Stock("Chrome 400", 400, 16, 1.6, (3, 3, 3)))
        tags = exif_tags(film.take(draw_scene(1, SIZE), SETTINGS))
        assert "simulated" in str(tags[ExifTags.Base.Software])
        exposure = {ExifTags.Base.FNumber, ExifTags.Base.ExposureTime, ExifTags.Base.ISOSpeedRatings}
        assert not exposure & tags.keys()


def test_faster_film_has_coarser_grain() -> None:
    grain = []
    for stock in (Stock("Slow", 50, 8, 1.6, (3, 3, 3)), Stock("Fast", 1600, 24, 1.6, (3, 3, 3))):
        settings = replace(SETTINGS, iso=stock.iso)
        grain.append(noise(FilmBody(stock).take(grey_card(), settings)))
    assert grain[1] > 2 * grain[0]


def test_seed_determines_the_bytes() -> None:
    first, again, other = (shot(seed, 3, 5).take(SIZE) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_settings_match_the_luminance() -> None:
    for index in range(40):
        taken = shot(0, index, 6)
        assert abs(math.log2(taken.luminance / metered_luminance(taken.settings))) <= 1 / 6 + 0.02
        assert 100 <= taken.settings.iso <= 6400


def test_title_matches_the_drawn_scene() -> None:
    assert title_of(5) == draw_scene(5, SIZE).title
