"""Numbers in sentences."""

import pytest

from lightmeter.text.numbers import counted


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(0, "label", "0 labels"), (1, "label", "1 label"), (2, "new photograph", "2 new photographs")],
)
def test_noun_agrees_with_its_number(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text


def test_irregular_plural() -> None:
    assert (counted(1, "class", "classes"), counted(3, "class", "classes")) == ("1 class", "3 classes")
