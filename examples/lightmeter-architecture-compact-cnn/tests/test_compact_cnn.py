"""Tests of the architecture ``compact-cnn``."""

import pytest

from lightmeter.testing import ArchitectureTests


class TestCompactCnn(ArchitectureTests):
    architecture = "compact-cnn"
    preprocessing = {"patches": 2, "patch_size": 32}
    options = {"width": 4, "blocks": 2}

    def test_width_sets_number_of_channels(self) -> None:
        assert self.build(width=6).backbone[0].out_channels == 6

    def test_view_alone_raises_value_error(self) -> None:
        with pytest.raises(ValueError, match="needs patches"):
            self.build(preprocessing={"patches": 0, "view_size": 32})
