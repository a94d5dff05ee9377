"""robots.txt and tdmrep.json: what they allow to this crawler."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter.harvest.crawl.sites.robots import RobotsRules, TdmRules

SITE = "https://example.org"
LIMIT = 512_000


def allowed(text: str | bytes, path: str = "/private/1.jpg") -> bool:
    return RobotsRules.parse(text.encode() if isinstance(text, str) else text, LIMIT).allow(SITE + path)


DISALLOW = "User-agent: *\nDisallow: /private\n"


@pytest.mark.parametrize(
    "text",
    [
        DISALLOW,
        "\ufeff" + DISALLOW,
        DISALLOW.encode("utf-16"),
        DISALLOW.encode("utf-16-le"),
        DISALLOW.encode("utf-16-be"),
        DISALLOW.encode("utf-32"),
        DISALLOW.replace("\n", "\r"),
        DISALLOW.replace("\n", "\r\n"),
        "# \xe9\n".encode("latin-1") + DISALLOW.encode(),
        "user-agent : *   # all\n\n  disallow :/private # these\n",
        "User-agent: otherbot\nUser-agent: *\nDisallow: /private",
        "User-agent: otherbot\nSitemap: /sitemap.xml\nUser-agent: *\nDisallow: /private",
        "User-agent: otherbot\nDisallow:\n\nUser-agent: *\nDisallow: /*.jpg$",
        "User-agent: LightMeter\nDisallow: /private",
        "User-agent: LightMeter/1.0\nDisallow: /private",
        "User-agent: lightmeter*\nDisallow: /private",
        "User-agent: *\nAllow: /\n\nUser-agent: LIGHTMETER/2\nDisallow: /other\n\nUser-agent: lightmeter\nDisallow: /private",
        "User-agent: *\nDisallow: /\nAllow: /public",
        "User-agent: *\nDissallow: /private",
        "User-agent *\nDisallow /private",
        "User-agent: *\nDisallow: /%70rivate",
        "x" * 400_000 + "\n" + DISALLOW,
    ],
)
def test_disallowed(text: str | bytes) -> None:
    assert not allowed(text)
    assert allowed(text, "/public/1.jpg") or b"jpg" in (text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        b"\xff\xd8\xff\xe0",
        "<html><body>Disallow: /</body></html>",
        "Disallow: /",
        "User-agent: *\nDisallow:",
        "User-agent: otherbot\nDisallow: /",
        "User-agent: light\nDisallow: /",  # a prefix of the name
        "User-agent: lightmeter-archiver\nDisallow: /",
        "User-agent: notlightmeter\nDisallow: /",
        "User-agent: *\nDisallow: /\n\nUser-agent: lightmeter\nDisallow:",
        "User-agent: *\nDisallow: /\nAllow: /private/1.jpg",
        "User-agent: *\nDisallow: /Private",
        "User-agent: *\n" + "# comment\n" * 60_000 + "Disallow: /",  # behind the limit
    ],
)
def test_allowed(text: str | bytes) -> None:
    assert allowed(text)


def test_rule_cut_at_the_limit_is_ignored() -> None:
    text = "User-agent: *\nDisallow: /private-archive"
    assert RobotsRules.parse(text.encode(), len(text) - 8).allow(f"{SITE}/private/1.jpg")


@pytest.mark.parametrize(
    ("text", "delay_s"),
    [
        ("User-agent: *\nCrawl-delay: 2.5", 2.5),
        ("User-agent: *\nCrawl-delay: 2,5", 2.5),
        ("User-agent: lightmeter\nCrawl-delay: 1\nUser-agent: *\nCrawl-delay: 9", 1),
        ("User-agent: lightmeter\nUser-agent: *\nCrawl-delay: 3\nUser-agent: lightmeter\nCrawl-delay: 1", 3),
        ("User-agent: otherbot\nCrawl-delay: 9", 0),
        ("User-agent: *\nCrawl-delay: nan", 0),
        ("User-agent: *\nCrawl-delay: inf", 0),
        ("User-agent: *\nCrawl-delay: -1", 0),
        ("User-agent: *\nCrawl-delay: soon", 0),
    ],
)
def test_crawl_delay(text: str, delay_s: float) -> None:
    assert RobotsRules.parse(text.encode(), LIMIT).crawl_delay == delay_s


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: f"User-agent: *\n{text}".encode())))
def test_any_file_is_parsed(body: bytes) -> None:
    rules = RobotsRules.parse(body, LIMIT)
    assert rules.allow(f"{SITE}/robots.txt")
    assert rules.crawl_delay >= 0
    assert not TdmRules.parse(body).reserve("https://example.org/%E9?ü")


def tdm(*rules: tuple[object, object]) -> TdmRules:
    content = [{"location": location, "tdm-reservation": value} for location, value in rules]
    return TdmRules.parse(json.dumps(content).encode())


@pytest.mark.parametrize(
    ("rules", "reserved"),
    [
        (tdm(("/", 1)), True),
        (tdm(("*", 1)), True),
        (tdm(("/photos/", 1)), True),
        (tdm(("/photos/*.jpg", "1")), True),
        (tdm(("/photos/1.jpg$", 1)), True),
        (tdm(("photos/", 1)), True),
        (tdm(("/%70hotos/", 1)), True),
        (tdm(("/photos/", 0), ("/", 1)), False),  # the first match decides
        (tdm(("/", 0), ("/photos/", 1)), False),
        (tdm(("/texts/", 1)), False),
        (tdm(("/photos/1$", 1)), False),
        (tdm(("/", 2)), False),
        (tdm(("/", None), (None, 1), (["/"], 1), ("/", [1])), False),
        (TdmRules.parse(b'\xef\xbb\xbf{"location": "/", "tdm-reservation": 1}'), True),
        (TdmRules.parse(b"[" * 100_000), False),
        (TdmRules.parse(b"<html>"), False),
        (TdmRules.parse(b"[1, null, [], {}]"), False),
    ],
)
def test_reservation_of_text_and_data_mining(rules: TdmRules, reserved: bool) -> None:
    assert rules.reserve(f"{SITE}/photos/1.jpg") is reserved
