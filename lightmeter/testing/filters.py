"""Tests that every filter plugin must pass."""

import io
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

from lightmeter import plugins
from lightmeter.harvest.filters.base import Filter
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.testing.server import create_project, photograph, run_lightmeter, write_photographs


class FilterTests:
    """Tests of a filter. Subclass it, name the filter, and add the fixture ``dropped``.

    Attributes:
        filter: The plugin's class.
        settings: Settings for the tests (default: the filter's own defaults).

    Fixtures:
        kept: Bytes of an image file that the filter keeps (default: a photograph of noise).
        dropped: Bytes of an image file that the filter drops.

    Example:
        ```python
        import pytest
        from lightmeter_filter_square import Square

        from lightmeter.testing import FilterTests, photograph


        class TestSquare(FilterTests):
            filter = Square
            settings = {"min_ratio": 1.2}

            @pytest.fixture
            def dropped(self):
                return photograph(size=(64, 64))
        ```
    """

    filter: ClassVar[type[Filter[Any]]]
    settings: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def kept(self) -> bytes:
        """Bytes of an image file that the filter keeps."""
        return photograph()

    @pytest.fixture
    def dropped(self) -> bytes:
        """Bytes of an image file that the filter drops."""
        raise NotImplementedError("add a fixture 'dropped' that returns an image file that the filter drops")

    def test_entry_point_has_name_of_filter(self) -> None:
        """The entry point is named like the filter and leads to its class."""
        assert plugins.get("filters", self.filter.name).load() is self.filter

    def test_settings_have_help_and_defaults(self) -> None:
        """The filter has a summary and a version, and each setting a description and a default."""
        assert self.filter.summary
        assert self.filter.version >= 1
        for name, field in self.filter.Settings.model_fields.items():
            assert field.description, f"the setting '{name}' has no description"
            assert not field.is_required(), f"the setting '{name}' has no default"

    def test_verdicts_are_as_expected(self, kept: bytes, dropped: bytes) -> None:
        """The filter keeps one file and drops the other with a reason."""
        result = self._filter().apply(_decode(kept))
        assert (result.verdict, result.reason) == ("keep", None)
        result = self._filter().apply(_decode(dropped))
        assert result.verdict == "drop"
        assert result.reason, "a filter must name a reason for what it drops"

    def test_measures_are_json_and_enough_to_judge(self, kept: bytes, dropped: bytes) -> None:
        """The verdict is the same for measures that were stored in the catalogue, and JSON holds them exactly."""
        for data in (kept, dropped):
            measures = self._filter().measure(_decode(data)).measures
            stored = json.loads(json.dumps(measures, allow_nan=False))
            assert stored == measures, "measures must be JSON values"
            assert self._filter().judge(stored) == self._filter().judge(measures)

    def test_measures_depend_on_image_alone(self, kept: bytes, dropped: bytes) -> None:
        """Measures are repeatable and do not depend on the settings."""
        for data in (kept, dropped):
            first, second = (self._filter().measure(_decode(data)) for _ in range(2))
            assert first == second == self.filter().measure(_decode(data))

    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "I;16"])
    @pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (90, 60)])
    def test_any_image_can_be_measured(self, mode: str, size: tuple[int, int]) -> None:
        """Tiny, narrow, grey and 16-bit images are measured and judged; detections are inside the image."""
        instance = self._filter()
        for orientation in (1, 6):
            measurement = instance.measure(DecodedImage(Image.new(mode, size), orientation))
            assert instance.judge(measurement.measures).verdict in {"keep", "drop"}
            for x, y, width, height in (detection.box for detection in measurement.detections):
                assert min(x, y) >= 0
                assert x + width <= size[0]
                assert y + height <= size[1]

    def test_engine_applies_filter_with_settings(self, kept: bytes, dropped: bytes, tmp_path: Path) -> None:
        """A harvest run applies the filter with the settings of lightmeter.toml."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.settings.items()]
        project = create_project(tmp_path / "project", "\n".join([f"[filters.{self.filter.name}]", *lines]))
        folder = write_photographs(tmp_path / "photographs", {"kept.jpg": kept, "dropped.jpg": dropped})
        assert run_lightmeter(project, "harvest", "run", "folder", folder)["fetched"] == 2
        verdicts = {path.stem: self._stored_verdict(project, path) for path in folder.iterdir()}
        assert verdicts == {"kept": "keep", "dropped": "drop"}

    def test_unknown_setting_is_refused(self, tmp_path: Path) -> None:
        """A misspelt setting in lightmeter.toml is an error that names the filter."""
        project = create_project(tmp_path / "project", f"[filters.{self.filter.name}]\nno_such_setting = 1")
        assert self.filter.name in run_lightmeter(project, "harvest", "inspect", code=2)["error"]

    def _filter(self) -> Filter[Any]:
        return self.filter(self.filter.Settings(**self.settings))

    def _stored_verdict(self, project: Path, file: Path) -> str:
        inspections = run_lightmeter(project, "catalogue", "show", file)["inspections"]
        return str(next(row["verdict"] for row in inspections if row["filter"] == self.filter.name))


def _decode(data: bytes) -> DecodedImage:
    return DecodedImage(Image.open(io.BytesIO(data)))
