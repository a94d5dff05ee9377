"""EXIF columns: their formats, and the columns of the SQL model."""

import pytest

from lightmeter.harvest.catalogue.models import Exif
from lightmeter.harvest.exif.columns import EXIF_COLUMNS


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("f_number", 2.8, "f/2.8"), ("f_number", 16.0, "f/16"), ("exposure_time_s", 1 / 125, "1/125 s"),
        ("exposure_time_s", 0.5, "0.5 s"), ("iso", 200.0, "ISO 200"), ("focal_length_mm", 50.0, "50 mm"),
        ("flash_fired", False, "no"), ("make", "Canon", "Canon"),
    ],
)  # fmt: skip
def test_exif_columns_format_values(column: str, value: object, text: str) -> None:
    assert EXIF_COLUMNS[column].format(value) == text


def test_sql_model_has_all_exif_columns() -> None:
    assert set(EXIF_COLUMNS) < set(Exif.__table__.columns.keys())
