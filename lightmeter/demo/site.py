"""The demo website: HTML pages with the simulated photographs."""

import csv
import shutil
from html import escape
from pathlib import Path

PER_PAGE = 40

SITE_TOML = """\
# Describes a website for `lightmeter harvest run website`.
name = "demo club"
start = ["{url}/index.html"]
follow = ["a.next"]

[photograph]
each = "figure"
media = "a::attr(href)"
owner = ".photographer::text"
licence = "a[rel=license]::text"
attribution = "figcaption::text"
"""

_PAGE = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Demo club, page {number}</title>
<style>body {{ font: 16px sans-serif; margin: 2em }} figure {{ display: inline-block; margin: 1em; width: 240px }}
img {{ width: 240px }}</style>
<h1>Demo club, page {number}</h1>
{figures}
{next_link}
</html>
"""
_FIGURE = """\
<figure><a href="{href}"><img src="{href}" alt=""></a>
<figcaption>{attribution} – <span class="photographer">{owner}</span>,
<a rel="license">{licence}</a></figcaption></figure>
"""


def build_site(camera: Path, site: Path) -> int:
    """Write the pages, the photographs and the site description.

    As on a real site, two files are broken: one is truncated, one is missing.

    Args:
        camera: Project with the photographs and ``photographs.csv``, an export of its catalogue.
        site: Folder to write.

    Returns:
        Number of pages.
    """
    (site / "originals").mkdir(parents=True)
    with (camera / "photographs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        shutil.copyfile(camera / "store" / row["sha256"][:2] / row["sha256"], site / _href(row))
    data = (site / _href(rows[0])).read_bytes()
    (site / "originals" / "truncated.jpg").write_bytes(data[: len(data) // 2])
    broken = [{**rows[0], "sha256": name} for name in ("truncated", "missing")]
    pages = [[*rows, *broken][start : start + PER_PAGE] for start in range(0, len(rows) + len(broken), PER_PAGE)]
    for number, page in enumerate(pages, 1):
        (site / _name(number)).write_text(_page(number, page, last=number == len(pages)), encoding="utf-8")
    (site / "site.toml").write_text(SITE_TOML, encoding="utf-8")
    return len(pages)


def _page(number: int, rows: list[dict[str, str]], *, last: bool) -> str:
    figures = "".join(
        _FIGURE.format(href=_href(row), **{key: escape(row[key]) for key in ("attribution", "owner", "licence")})
        for row in rows
    )
    next_link = "" if last else f'<a class="next" href="{_name(number + 1)}">next page</a>'
    return _PAGE.format(number=number, figures=figures, next_link=next_link)


def _name(number: int) -> str:
    return "index.html" if number == 1 else f"page{number}.html"


def _href(row: dict[str, str]) -> str:
    return f"originals/{row['sha256'][:16]}.jpg"
