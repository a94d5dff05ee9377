"""Opt-outs in headers and on pages."""

import pytest
from scrapy.http import HtmlResponse, Response

from lightmeter.harvest.crawl.sites.pages import header_opt_out, page_opt_out

URL = "https://example.org/1.jpg"


def response(*headers: tuple[str, str]) -> Response:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return Response(URL, headers=values)


def page(head: str, **headers: str) -> HtmlResponse:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return HtmlResponse(URL, body=f"<html><head>{head}</head></html>".encode(), headers=fields)


@pytest.mark.parametrize("word", ["noai", "noimageai", "noml", "noindex", "noimageindex", "none", "NoAI"])
def test_every_directive_opts_out(word: str) -> None:
    assert header_opt_out(response(("X-Robots-Tag", word))).reason == f"opt-out: X-Robots-Tag {word.lower()}"
    assert page_opt_out(page(f'<meta name="robots" content="{word}">')).reason


@pytest.mark.parametrize(
    "header",
    [
        ("X-Robots-Tag", "nofollow, noai"),
        ("X-Robots-Tag", "lightmeter: noai"),
        ("X-Robots-Tag", "LightMeter/1.0: noarchive, noai"),
        ("X-Robots-Tag", "*: noai"),
        ("X-Robots-Tag", "otherbot: nofollow, lightmeter: noai"),
        ("X-Robots-Tag", "max-snippet: 5, noai"),
        ("X-Robots-Tag", "unavailable_after: 25 Jun 2030 15:00:00 PST, noai"),
        ("TDM-Reservation", " 1 "),
        ("tdm-reservation", "1"),
    ],
)
def test_header_opts_out(header: tuple[str, str]) -> None:
    assert header_opt_out(response(header)).reason
    assert header_opt_out(response(("X-Robots-Tag", "otherbot: all"), header)).reason  # each header for itself


@pytest.mark.parametrize(
    "header",
    [
        ("X-Robots-Tag", "otherbot: noai"),
        ("X-Robots-Tag", "otherbot: nofollow, noai, noindex"),
        ("X-Robots-Tag", "lightmeter: nofollow, otherbot: noai"),
        ("X-Robots-Tag", "light: noai"),
        ("X-Robots-Tag", "index, follow, max-image-preview: none"),
        ("X-Robots-Tag", "nofollow, noarchive"),
        ("X-Robots-Tag", "noairline"),
        ("TDM-Reservation", "0"),
        ("TDM-Reservation", "2"),
    ],
)
def test_other_headers_do_not_opt_out(header: tuple[str, str]) -> None:
    assert header_opt_out(response(header)).reason is None


@pytest.mark.parametrize(
    ("page", "opts_out"),
    [
        (page('<META NAME="ROBOTS" CONTENT="noimageai noai">'), True),
        (page('<meta content="noai" name="lightmeter">'), True),
        (page('<meta name="tdm-reservation" content="1">'), True),
        (page('<meta http-equiv="X-Robots-Tag" content="noai">'), True),
        (page('<meta name="tdm-reservation" content="1">', TDM_Reservation="0"), True),
        (page("", TDM_Reservation="1"), True),
        (page("", X_Robots_Tag="noai"), True),
        (page('<meta name="tdm-reservation" content="0">', TDM_Reservation="1"), False),  # the page decides
        (page('<meta name="otherbot" content="noai">'), False),
        (page('<meta name="description" content="noai">'), False),
        (page('<meta name="robots" content="index, follow">'), False),
        (page('<meta name="robots">'), False),
        (page('<meta name="robots" content="index">', X_Robots_Tag="noindex"), True),
    ],
)
def test_page_opts_out(page: HtmlResponse, opts_out: bool) -> None:
    assert (page_opt_out(page).reason is not None) is opts_out


@pytest.mark.parametrize(("word", "follow"), [("nofollow", False), ("none", False), ("noai", True), ("all", True)])
def test_links_are_not_followed_where_a_page_says_so(word: str, follow: bool) -> None:
    assert page_opt_out(page(f'<meta name="robots" content="{word}">')).follow is follow
    assert page_opt_out(page("", X_Robots_Tag=word)).follow is follow
    assert page_opt_out(page("", X_Robots_Tag=f"otherbot: {word}")).follow
