"""Tests of the normalisation of licences."""

import pytest

from lightmeter.harvest.licences import (
    ALL_RIGHTS_RESERVED,
    NO_KNOWN_RESTRICTIONS,
    PUBLIC_DOMAIN,
    UNITED_STATES_GOVERNMENT,
    normalise_licence,
)
from lightmeter.harvest.sources.photo_metadata import FLICKR_LICENCES


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("https://creativecommons.org/licenses/by-nc-nd/2.0/", "CC-BY-NC-ND-2.0"),
        ("http://creativecommons.org/licenses/by/3.0/de/", "CC-BY-3.0-DE"),
        ("https://creativecommons.org/licenses/by/2.5/it/", "CC-BY-2.5"),
        ("Creative Commons Attribution-ShareAlike 3.0", "CC-BY-SA-3.0"),
        ("Creative Commons Attribution-NonCommercial-NoDerivs 2.0", "CC-BY-NC-ND-2.0"),
        ("Attribution-NonCommercial License", "Attribution-NonCommercial License"),
        ("CC0", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", PUBLIC_DOMAIN),
        ("Public domain", PUBLIC_DOMAIN),
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
