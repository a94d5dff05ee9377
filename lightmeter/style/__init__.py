"""The look of pages and plots: one style sheet, one frame for documents, one style of matplotlib."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

STYLE_SHEET = Path(__file__).with_name("style.css")
"""The style sheet of every page."""

ICON = Path(__file__).with_name("icon.svg")
"""The icon of every page."""

BROWSER_PORT = 8730
"""Default port of ``lightmeter browse``."""


def browser_url(state: Mapping[str, str]) -> str:
    """Return the address at which ``lightmeter browse`` shows photographs, while it runs.

    Args:
        state: What the page shows, by the names of the parameters of its URL.

    Example:
        >>> browser_url({"target": "medium", "queue": "label-issues"})
        'http://127.0.0.1:8730/?target=medium&queue=label-issues'
    """
    return f"http://127.0.0.1:{BROWSER_PORT}/?{urlencode(state)}"


@cache
def document_environment(package: str, folder: str = "templates") -> Environment:
    """Return a Jinja environment for the templates of a package; those of pages extend ``document.html.jinja``.

    The pages are single files: they contain the style sheet.

    Args:
        package: Package of the templates.
        folder: Folder of the templates in the package.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, folder), PackageLoader("lightmeter.style", "")]),
        autoescape=select_autoescape(("html", "html.jinja")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.globals["style_sheet"] = Markup(STYLE_SHEET.read_text(encoding="utf-8"))  # noqa: S704 - our own file
    return environment
