"""Titles, in which people name camera, lens and film: ``Fog [Leica M6 | Summicron 35mm | Portra 400]``."""

import re

_GROUP = re.compile(r"[\[({]([^\[\](){}]+)[\])}]")
_BETWEEN = re.compile(r"\s*(?:[|,;•·]|\s[/+&–—-]\s)\s*")
_NO_TAG = re.compile(r"oc|nsfw|\d+\s*[x×]\s*\d+|\d{4}|[\W_]*", re.IGNORECASE)
_LONGEST = 60
_STOCKS = re.compile(
    r"\b(?:(?:kodak\s+)?(?:portra|ektar|gold|tri-?x|t-?max|colorplus|color\s?plus|ultramax|ektachrome|double-?x|vision\s?3)"
    r"|(?:fuji(?:film|color|chrome)?\s+)?(?:superia|provia|velvia|astia|acros|neopan|natura|c200|pro\s?400h)"
    r"|(?:ilford\s+)?(?:hp5|fp4|delta|pan\s?f|xp2|sfx|kentmere)"
    r"|cine\s?still|fomapan|rollei\s+retro|lomo(?:chrome|graphy)?\s+\w+|phoenix|harman\s+\w+)"
    r"(?:[\s-]*(?:e?\d{2,4}[a-z]?|\+|plus|pan|x-tra|ii))*",
    re.IGNORECASE,
)


def tags_of(title: str, flair: str | None = None) -> tuple[str, ...]:
    """Return what a title tells besides its words: what stands in brackets, films it names, and the post's flair."""
    found: list[str] = [flair] if flair else []
    for group in _GROUP.findall(title):
        found += _BETWEEN.split(group)
    found += [match[0] for match in _STOCKS.finditer(_GROUP.sub(" ", title))]
    tags = (re.sub(r"\s+", " ", tag).strip(" .-–—").lower() for tag in found)
    return tuple(dict.fromkeys(tag for tag in tags if len(tag) <= _LONGEST and not _NO_TAG.fullmatch(tag)))
