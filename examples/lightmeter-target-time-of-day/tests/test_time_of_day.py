"""Tests of the target ``time-of-day``."""

import pytest

from lightmeter.labels import PhotoFacts
from lightmeter.testing import TargetTests, photograph

TIME_TAKEN = 0x9003


class TestTimeOfDay(TargetTests):
    plugin = name = "time-of-day"

    @pytest.fixture
    def examples(self) -> list[tuple[PhotoFacts, str | None]]:
        return [
            (PhotoFacts(1, {"taken_at": "2020-06-01T12:30:00"}), "day"),
            (PhotoFacts(2, {"taken_at": "2020-06-01T23:59:59+02:00"}), "night"),
            (PhotoFacts(3, {"taken_at": "2020-06-02T04:00:00"}), "night"),
            (PhotoFacts(4, {"taken_at": "2020-06-02T18:00:00"}), None),
        ]

    @pytest.fixture
    def photographs(self) -> dict[str, bytes]:
        return {f"{hour}.jpg": photograph(hour, tags={TIME_TAKEN: f"2020:06:01 {hour}:00:00"}) for hour in (12, 18, 22)}
