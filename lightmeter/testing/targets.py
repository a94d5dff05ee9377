"""Tests that every target plugin must pass."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lightmeter import plugins
from lightmeter.harvest.exif.columns import ExifValues
from lightmeter.labels.targets.base import PhotoFacts, Target
from lightmeter.labels.targets.registry import get_target
from lightmeter.testing.server import create_project, photograph, run_lightmeter, write_photographs

Example = tuple[PhotoFacts, str | None]


class TargetTests:
    """Tests of a target. Subclass it, name the plugin and the target, and add the fixture ``examples``.

    Attributes:
        plugin: Name of the entry point.
        name: Name of the target in its definition file.

    Fixtures:
        examples: Pairs of photo facts and the expected class; None if the photograph is excluded. Each class of the
            definition must appear.
        photographs: Image files by name for ``labels apply``, at least one with a class (default: three photographs
            with different settings).

    Example:
        ```python
        import pytest
        from lightmeter_target_zoom import Zoom

        from lightmeter.labels import PhotoFacts
        from lightmeter.testing import TargetTests


        class TestZoom(TargetTests):
            plugin, name = "zoom", "zoom"

            @pytest.fixture
            def examples(self):
                return [
                    (PhotoFacts(1, {"focal_length_35mm": 24.0}), "wide"),
                    (PhotoFacts(2, {"focal_length_35mm": 200.0}), "tele"),
                    (PhotoFacts(3), None),
                ]
        ```
    """

    plugin: ClassVar[str]
    name: ClassVar[str]

    @pytest.fixture
    def target(self) -> Target[Any]:
        """The target with its installed definition."""
        return get_target(self.name)

    @pytest.fixture
    def examples(self) -> Sequence[Example]:
        """Photo facts with the expected class."""
        raise NotImplementedError("add a fixture 'examples' that returns pairs of PhotoFacts and the expected class")

    @pytest.fixture
    def photographs(self) -> dict[str, bytes]:
        """Image files by name for ``labels apply``."""
        return {
            "1.jpg": photograph(1, f_number=1.8, exposure_time_s=1 / 4000, iso=100, focal_length_mm=24),
            "2.jpg": photograph(2, f_number=5.6, exposure_time_s=1 / 60, iso=800, focal_length_mm=50),
            "3.jpg": photograph(3, f_number=16, exposure_time_s=2, iso=6400, focal_length_mm=200),
        }

    def test_entry_point_leads_to_target(self, target: Target[Any]) -> None:
        """The entry point leads to the class that the definition uses."""
        assert isinstance(target, plugins.get("targets", self.plugin).load())
        assert target.definition.by == self.plugin
        assert target.definition.summary

    def test_columns_exist(self, target: Target[Any]) -> None:
        """All EXIF columns of the target exist in the catalogue."""
        for column in (*target.exif_columns, *target.related_columns):
            assert column in ExifValues.__dataclass_fields__, f"there is no EXIF column '{column}'"

    def test_examples_are_decided_as_expected(self, target: Target[Any], examples: Sequence[Example]) -> None:
        """Each example gets its class; an excluded one gets a reason instead."""
        for facts, expected in examples:
            decision = target.decide(facts)
            assert decision.value == expected, facts
            assert decision.value or decision.reason, f"{facts} is excluded without a reason"
            assert not decision.value or target.parse_value(decision.value) == decision.value

    def test_every_class_has_an_example(self, target: Target[Any], examples: Sequence[Example]) -> None:
        """No class of the definition is unreachable."""
        decided = {name for _, value in examples if value for name in value.split("|")}
        assert set(target.classes) <= decided, f"no example of {', '.join(sorted(set(target.classes) - decided))}"

    def test_photograph_without_facts_is_excluded(self, target: Target[Any]) -> None:
        """A photograph without metadata has no class, and the reason says why."""
        decision = target.decide(PhotoFacts(1))
        assert decision.value is None
        assert decision.reason

    def test_ordinal_classes_have_ascending_or_descending_numbers(self, target: Target[Any]) -> None:
        """The numbers of an ordinal target are in order, one for each class."""
        if not target.stops:
            pytest.skip("the target is not ordinal")
        assert len(target.stops) == len(target.classes)
        assert list(target.stops) in (sorted(target.stops), sorted(target.stops, reverse=True))
        assert target.unit, "an ordinal target needs a unit"

    def test_labels_apply_uses_target(self, photographs: dict[str, bytes], tmp_path: Path) -> None:
        """``labels apply`` labels photographs of a catalogue."""
        project = create_project(tmp_path / "project")
        folder = write_photographs(tmp_path / "photographs", photographs)
        run_lightmeter(project, "harvest", "run", "folder", folder)
        counts = run_lightmeter(project, "labels", "apply", self.name)[self.name]
        assert counts["photographs"] == len(photographs)
        assert sum(counts["labelled"].values()) > 0, "the fixture 'photographs' must contain one with a class"
