"""Licences, as sources name them, and as the catalogue does."""

import pytest

from lightmeter.harvest.licences import normalise


@pytest.mark.parametrize(
    ("said", "named"),
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
        ("https://creativecommons.org/publicdomain/mark/1.0/", "LicenseRef-public-domain"),
        ("Public domain", "LicenseRef-public-domain"),
        ("All Rights Reserved", "LicenseRef-all-rights-reserved"),
        ("MIT", "MIT"),
        ("  ", None),
        (None, None),
    ],
)
def test_one_name_each(said: str | None, named: str | None) -> None:
    assert normalise(said) == named
    assert normalise(named) == named  # a name of ours stays as it is


def test_flickr_s_licences_are_named_as_all_others() -> None:
    from lightmeter.harvest.sources.flickr.photographs import LICENCES

    assert all(normalise(licence) == licence for licence in LICENCES.values())
