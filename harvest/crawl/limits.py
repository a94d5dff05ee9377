"""Limits of websites and downloads that are no settings; docs/limits.py lists them with all others."""

MAX_PAGE_ITEMS = 10_000
"""Photographs and links that are read from one web page. The others are one unreadable record."""

PAGE_PARSING_S = 60.0
"""Time for reading one web page. What was read until then is kept; the rest is one unreadable record."""

MAX_SLOW_PAGES = 3
"""Web pages of a run whose parsing took too long. The other pages of the run are one unreadable record each."""

MAX_REDIRECTS = 5
"""Redirects of one request. The photograph fails: `too many redirects`."""

MAX_CONTENT_CODINGS = 3
"""Compressions of one response (`Content-Encoding`). The photograph fails: `invalid content coding`."""
