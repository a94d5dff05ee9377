"""Tests of the normalisation of licences."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter.harvest.licences import (
    ALL_RIGHTS_RESERVED,
    NO_KNOWN_RESTRICTIONS,
    PUBLIC_DOMAIN,
    UNITED_STATES_GOVERNMENT,
    is_allowed,
    licence_of_source,
    normalise_licence,
)
from lightmeter.harvest.sources.photo_metadata import FLICKR_LICENCES


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("CCBYSA 4", "CC-BY-SA-4.0"),
        ("by/4.0", "CC-BY-4.0"),
        ("by-nc 2.0", "CC-BY-NC-2.0"),
        ("CC BY-SA v. 3.0", "CC-BY-SA-3.0"),
        ("CC-BY-SA-3.0,2.5,2.0,1.0", "CC-BY-SA-3.0"),
        ("https://creativecommons.org/licenses/by-nc-nd/2.0/", "CC-BY-NC-ND-2.0"),
        ("http://www.creativecommons.org/licenses/by/4.0/legalcode", "CC-BY-4.0"),
        ("//creativecommons.org/licenses/by/4.0/deed.de", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by-sa/4.0/?ref=openverse", "CC-BY-SA-4.0"),
        ("http://creativecommons.org/licenses/by/3.0/de/", "CC-BY-3.0-DE"),
        ("CC BY-NC-ND 3.0 IGO", "CC-BY-NC-ND-3.0-IGO"),
        ("https://creativecommons.org/licenses/by/2.5/it/", "CC-BY-2.5"),
        ("Creative Commons Attribution-ShareAlike 3.0", "CC-BY-SA-3.0"),
        ("Creative Commons Attribution-NonCommercial-NoDerivs 2.0", "CC-BY-NC-ND-2.0"),
        ("Creative Commons Attribution Non-Commercial No Derivatives 4.0 International License", "CC-BY-NC-ND-4.0"),
        ("Attribution 4.0 International (CC BY 4.0)", "CC-BY-4.0"),
        ("© Jane Doe, CC BY 4.0", "CC-BY-4.0"),
        ("CC BY", "CC-BY"),
        ("by-sa", "CC-BY-SA"),
        ("https://creativecommons.org/licenses/by-nc/", "CC-BY-NC"),
        ("Creative Commons Attribution", "CC-BY"),
        ("CC BY 7.3", "CC BY 7.3"),
        ("CC BY 4.0 or later", "CC BY 4.0 or later"),
        ("CC BY 4.0 and CC BY-SA 4.0", "CC BY 4.0 and CC BY-SA 4.0"),
        ("CC BY / CC BY-SA 4.0", "CC BY / CC BY-SA 4.0"),
        ("not CC BY 4.0", "not CC BY 4.0"),
        ("not public domain", "not public domain"),
        ("Photo by 4.0 people", "Photo by 4.0 people"),
        ("Standby 4.0", "Standby 4.0"),
        ("Attribution-NonCommercial License", "Attribution-NonCommercial License"),
        ("CC0", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", PUBLIC_DOMAIN),
        ("Public domain", PUBLIC_DOMAIN),
        ("PDM 1.0", PUBLIC_DOMAIN),
        ("PD-old-100", PUBLIC_DOMAIN),
        ("All Rights Reserved", ALL_RIGHTS_RESERVED),
        ("No known copyright restrictions", NO_KNOWN_RESTRICTIONS),
        ("United States Government Work", UNITED_STATES_GOVERNMENT),
        ("http://www.usa.gov/copyright.shtml", UNITED_STATES_GOVERNMENT),
        ("MIT", "MIT"),
        ("  ", None),
        (None, None),
    ],
)
def test_licence_is_normalised_to_its_identifier(text: str | None, identifier: str | None) -> None:
    assert normalise_licence(text) == identifier
    assert normalise_licence(identifier) == identifier


def test_flickr_licences_are_normalised() -> None:
    assert all(normalise_licence(licence) == licence for licence in FLICKR_LICENCES.values())


def test_version_may_stand_beside_the_licence() -> None:
    assert licence_of_source("by", {"license_version": "2.0"}) == "CC-BY-2.0"
    assert licence_of_source("by-sa", {"license_version": 4}) == "CC-BY-SA-4.0"
    assert licence_of_source("CC BY 3.0", {"license_version": "2.0"}) == "CC-BY-3.0"
    assert licence_of_source("MIT", {"license_version": "2.0"}) == "MIT"
    assert licence_of_source("by", {"license_version": None}) == licence_of_source("by", None) == "CC-BY"


@pytest.mark.parametrize(
    ("licence", "allowed", "result"),
    [
        ("CC-BY-4.0", ["CC0-1.0", "CC-BY-4.0"], True),
        ("CC-BY-4.0", ["CC-BY"], True),
        ("CC-BY-3.0-DE", ["CC-BY"], True),
        ("CC-BY", ["CC-BY-4.0"], False),
        ("CC-BY-SA-4.0", ["CC-BY"], False),
        ("CC-BY-4.0", ["CC-BY-3.0"], False),
        (None, ["CC-BY"], False),
    ],
)
def test_licence_without_version_allows_all_versions(licence: str | None, allowed: list[str], result: bool) -> None:
    assert is_allowed(licence, allowed) is result


@given(
    st.lists(
        st.sampled_from(
            ["CC", "BY", "SA", "NC", "0", "4.0", "3", "-", "/", " ", "org", "zero", "mark", "licenses", "de", "x"]
        )
        | st.text(max_size=3),
        max_size=12,
    ).map("".join)
)
def test_no_version_is_made_up_and_normalising_twice_changes_nothing(text: str) -> None:
    identifier = normalise_licence(text)
    assert normalise_licence(identifier) == identifier
    if identifier and identifier.startswith("CC-BY") and identifier != text.strip():
        assert all(digit in text for digit in re.findall(r"(\d)\.\d", identifier))


def test_long_text_is_not_searched() -> None:
    assert normalise_licence("CC BY " * 100_000) == ("CC BY " * 100_000).strip()
    assert normalise_licence("cc org " * 140) == ("cc org " * 140).strip()
