"""Names: equality, and folders that every system and loader accepts."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter.text.names import equal_names, folder_name, name_key, name_problem


@given(st.text())
def test_key_does_not_depend_on_form_case_and_blanks(name: str) -> None:
    key = name_key(name)
    for form in ("NFC", "NFD"):
        assert name_key(f" {unicodedata.normalize(form, name)}\t") == key
    assert name_key(key) == key


@given(st.text(min_size=1, max_size=60))
def test_folder_of_a_name_is_one_visible_folder(name: str) -> None:
    if name_problem(name) is None:
        folder = folder_name(name)
        assert Path(folder).name == folder
        assert not folder.startswith((".", "__"))
        assert not folder.endswith((".", " "))
        assert folder_name(folder) == folder


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("1/60", "1-60"),
        ("short tele", "short tele"),
        (".hidden", "_.hidden"),
        ("CON", "CON_"),
        ("nul.txt", "nul.txt_"),
        ("Metadata.csv", "Metadata.csv_"),
    ],
)
def test_folder_names(name: str, folder: str) -> None:
    assert (name_problem(name), folder_name(name)) == (None, folder)


@pytest.mark.parametrize("name", ["", " a", "..", "a/../b", "/etc", "a//b", "a\\..", "a\0b", "\ud83d", "é" * 121])
def test_names_that_are_none(name: str) -> None:
    assert name_problem(name) is not None


@pytest.mark.parametrize("names", [("Film", "film"), ("1/60", "1-60"), ("é", "e\u0301"), ("a", "b", "a"), ("x.", "x")])
def test_names_that_share_a_folder(names: tuple[str, ...]) -> None:
    assert equal_names(names) == (names[0], names[-1])
    assert equal_names(("film", "digital", "1/60", "1/600")) is None
