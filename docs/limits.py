"""The limits in docs/limits.md: where each is enforced, what it bounds, and what happens beyond it.

`docs/generate.py` reads the values from the code that enforces them.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from lightmeter.settings import Settings


@dataclass(frozen=True)
class Limit:
    """One row.

    Attributes:
        bounds: What is bounded.
        source: ``section.key`` of a setting, or ``module:NAME`` of a constant below ``lightmeter``.
        beyond: What happens beyond it.
        unit: Unit of the value; ``bytes`` and ``s`` are formatted.
        key: Key of the value, if the constant is a mapping.
    """

    bounds: str
    source: str
    beyond: str
    unit: str = ""
    key: str = ""

    @property
    def setting(self) -> str:
        """The setting that changes the limit."""
        section, _, key = self.source.partition(".")
        return f"`[{section}] {key}`" if ":" not in self.source else "fixed"

    @property
    def value(self) -> str:
        """The value, with its unit."""
        if ":" in self.source:
            module, _, name = self.source.partition(":")
            value: Any = getattr(import_module(f"lightmeter.{module}"), name)
            value = value[self.key] if self.key else value
        else:
            section, _, key = self.source.partition(".")
            value = getattr(getattr(Settings.model_construct(), section), key)
        return _formatted(value, self.unit)


UNREADABLE = "one unreadable record"
CUT = "cut"
FAILS = "the photograph fails: "
RECORDS, CONTAINERS, QUERY = "harvest.catalogue.records", "harvest.exif.containers", "harvest.catalogue.query.parser"
CRAWL, CLAIMS = "harvest.crawl.limits", "harvest.catalogue.leases.claims"

LIMITS: dict[str, tuple[Limit, ...]] = {
    "Web sites": (
        Limit("web page, unpacked", "crawl.max_page_bytes", UNREADABLE, "bytes"),
        Limit("photographs and links of a page", f"{CRAWL}:MAX_PAGE_ITEMS", f"the others are {UNREADABLE}"),
        Limit("time for parsing a page", f"{CRAWL}:PAGE_PARSING_S", f"the rest is {UNREADABLE}", "s"),
        Limit("pages of a run that take longer", f"{CRAWL}:MAX_SLOW_PAGES", f"each other page is {UNREADABLE}"),
        Limit("pages of a site, in a run", "crawl.max_pages", f"the others are {UNREADABLE}"),
        Limit("links from a start page to a page", "crawl.max_page_depth", f"deeper pages are {UNREADABLE}"),
        Limit("robots.txt", "crawl.max_robots_bytes", "the rest is not read", "bytes"),
    ),
    "Downloads": (
        Limit("file, also unpacked", "crawl.max_bytes", f"{FAILS}too many bytes", "bytes"),
        Limit("headers of a response", "crawl.max_header_bytes", f"{FAILS}too many bytes of headers", "bytes"),
        Limit("redirects", f"{CRAWL}:MAX_REDIRECTS", f"{FAILS}too many redirects"),
        Limit("content codings of a response", f"{CRAWL}:MAX_CONTENT_CODINGS", f"{FAILS}invalid content coding"),
        Limit("time for a response", "crawl.timeout_s", f"{FAILS}timed out", "s"),
        Limit("attempts", "crawl.attempts", "the photograph fails with the reason of the last one"),
        Limit("Retry-After and Crawl-delay", "crawl.max_retry_after_s", f"{FAILS}HTTP 429 or 503", "s"),
    ),
    "Several workers": (
        Limit("silence of a worker", "crawl.lease_s", "others take over its photographs", "s"),
        Limit("hosts of a worker at a time", f"{CLAIMS}:MAX_HOSTS", "it takes others when it is done with one"),
        Limit("photographs of a worker at a time, about", f"{CLAIMS}:MAX_PHOTOGRAPHS", "likewise"),
        Limit("photographs of a host at a time, of a worker", f"{CLAIMS}:MAX_BATCH", "likewise"),
        Limit("silence of a run", "harvest.catalogue.leases.runs:EXPIRY_S", "another command may resume it", "s"),
    ),
    "Photographs": (
        Limit("pixels", "inspect.max_pixels", f"{FAILS}too many pixels"),
        Limit("memory for decoding, by the header", "inspect.max_memory_mb", f"{FAILS}too much memory", "MB"),
        Limit("time for inspection", "inspect.timeout_s", f"{FAILS}took too long, after twice this time", "s"),
        Limit("time for MakerNotes", "inspect.maker_notes_s", "they are left out", "s"),
        Limit("memory for decoding in training and serving", "images.reader:MAX_DECODING_BYTES", "refused", "bytes"),
        Limit("photograph of a data set", "store.base:MAX_BYTES", "the command ends", "bytes"),
    ),
    "EXIF": (
        Limit("EXIF segments, joined", f"{CONTAINERS}:_MAX_EXIF_BYTES", CUT, "bytes"),
        Limit("XMP packet", "harvest.exif.xmp:_MAX_BYTES", "not read", "bytes"),
        Limit("nesting of XMP", "harvest.exif.xmp:_MAX_DEPTH", "deeper elements are left out"),
        Limit("items of an XMP list", "harvest.exif.xmp:_MAX_ITEMS", "the others are left out"),
        Limit("compressed metadata, unpacked", f"{CONTAINERS}:_MAX_INFLATED_BYTES", CUT, "bytes"),
        Limit("segments and chunks of a file", f"{CONTAINERS}:_MAX_SEGMENTS", "the others are not read"),
        Limit("directories of a TIFF structure", "images.tiff:_MAX_DIRECTORIES", "the others are not read"),
        Limit("fields of a directory", "images.tiff:_MAX_FIELDS", "the others are not read"),
        Limit("tags of a photograph", "harvest.exif.reader:_MAX_TAGS", "the others are not stored"),
        Limit("text of a tag", "harvest.exif.reader:_MAX_TEXT_LENGTH", CUT, "characters"),
    ),
    "Records of sources": (
        Limit("address", "harvest.addresses:MAX_ADDRESS_LENGTH", "the record is unreadable", "characters"),
        Limit("identifier", f"{RECORDS}:MAX_ID_BYTES", "the record is unreadable", "bytes"),
        Limit("owner", f"{RECORDS}:MAX_TEXT_LENGTHS", CUT, "characters", "owner"),
        Limit("title", f"{RECORDS}:MAX_TEXT_LENGTHS", CUT, "characters", "title"),
        Limit("attribution", f"{RECORDS}:MAX_TEXT_LENGTHS", CUT, "characters", "attribution"),
        Limit("licence, as written", f"{RECORDS}:MAX_TEXT_LENGTHS", CUT, "characters", "licence"),
        Limit("licence, its identifier", f"{RECORDS}:MAX_LICENCE_LENGTH", CUT, "characters"),
        Limit("file name", f"{RECORDS}:MAX_TEXT_LENGTHS", CUT, "characters", "file"),
        Limit("name of a site", f"{RECORDS}:MAX_SITE_LENGTH", CUT, "characters"),
        Limit("reason", f"{RECORDS}:MAX_REASON_LENGTH", CUT, "characters"),
        Limit("tag", f"{RECORDS}:MAX_TAG_LENGTH", CUT, "characters"),
        Limit("tags", f"{RECORDS}:MAX_TAGS", "the others are left out"),
        Limit("regions", f"{RECORDS}:MAX_REGIONS", "the others are left out"),
        Limit("nesting of a source's metadata", f"{RECORDS}:MAX_JSON_DEPTH", "deeper values are left out"),
        Limit("values of a source's metadata", f"{RECORDS}:MAX_JSON_ITEMS", "the others are left out"),
        Limit("text of a source's metadata", f"{RECORDS}:MAX_JSON_TEXT_LENGTH", CUT, "characters"),
        Limit("nesting of an API answer or sidecar", "harvest.sources.json_text:MAX_DEPTH", "deeper values are null"),
        Limit("API answer of a wiki, unpacked", "harvest.sources.commons:MAX_ANSWER_BYTES", "the run fails", "bytes"),
        Limit("sidecar file", "harvest.sources.local_files:MAX_SIDECAR_BYTES", "it is unreadable", "bytes"),
        Limit("line of a Reddit dump", "harvest.sources.reddit.dumps:_MAX_LINE_BYTES", "it is unreadable", "bytes"),
        Limit("cell of a table", "harvest.sources.text_files:_MAX_CELL_LENGTH", "the row is unreadable", "characters"),
    ),
    "Documents and queries": (
        Limit("JSON or text file", "text.documents:_MAX_BYTES", "refused", "bytes"),
        Limit("TOML file", "text.documents:_MAX_TOML_BYTES", "refused", "bytes"),
        Limit("name of a data set, class or run", "text.names:MAX_NAME_BYTES", "refused", "bytes"),
        Limit("nesting of a query (two levels a bracket)", f"{QUERY}:_MAX_DEPTH", "refused"),
        Limit("conditions of a query", f"{QUERY}:_MAX_TERMS", "refused"),
        Limit("value in a query", f"{QUERY}:_MAX_VALUE_LENGTH", "refused", "characters"),
        Limit("values of `in`", "harvest.catalogue.query.comparisons:MAX_VALUES", "refused"),
    ),
    "Data sets": (
        Limit("`dataset.toml`", "labels.datasets.spec:_MAX_SPEC_BYTES", "refused", "bytes"),
        Limit("classes of a target", "labels.datasets.spec:_MAX_CLASSES", "refused"),
        Limit("rows of a manifest", "labels.datasets.manifest:_MAX_ROWS", "refused"),
        Limit("manifest, unpacked", "labels.datasets.manifest:_MAX_BYTES", "refused", "bytes"),
        Limit("manifest, unpacked, in sizes of its file", "labels.datasets.manifest:_MAX_RATIO", "refused"),
        Limit("text in a manifest", "labels.datasets.manifest:_MAX_TEXT_LENGTH", "refused", "characters"),
        Limit("width and height in a manifest", "labels.datasets.manifest:_MAX_SIDE", "refused", "pixels"),
    ),
    "Models, archives and requests": (
        Limit("`model.toml`", "models.runtime.spec:MAX_SPEC_BYTES", "refused", "bytes"),
        Limit("weights", "models.runtime.spec:MAX_WEIGHT_BYTES", "refused", "bytes"),
        Limit("patches of a model", "models.runtime.spec:_MAX", "refused", key="patches"),
        Limit("side of a patch", "models.runtime.spec:_MAX", "refused", "pixels", "patch_size"),
        Limit("pixels of all patches", "models.runtime.spec:MAX_PATCH_PIXELS", "refused"),
        Limit("side of the whole view", "models.runtime.spec:_MAX", "refused", "pixels", "view_size"),
        Limit("option of an architecture, such as a width", "models.runtime.spec:_MAX_OPTION", "refused"),
        Limit("members of an archive", "serve.archive:_MAX_MEMBERS", "refused"),
        Limit("archive, unpacked", "serve.archive:_MAX_BYTES", "refused", "bytes"),
        Limit("description in an archive", "serve.archive:_MAX_TEXT_BYTES", "refused", "bytes"),
        Limit("request to a server", "serve.max_request_bytes", "HTTP 413", "bytes"),
        Limit("photographs of an inference request", "serve.gateway.inference_protocol:_MAX_IMAGES", "HTTP 400"),
        Limit("request to the browser", "labels.browser.api:_MAX_BODY_BYTES", "HTTP 413", "bytes"),
        Limit("pause of a client in a request or response", "connections:MAX_PAUSE_S", "the connection is closed", "s"),
        Limit("time in which a request arrives", "connections:MAX_REQUEST_S", "the connection is closed", "s"),
    ),
}  # fmt: skip


def _formatted(value: Any, unit: str) -> str:
    if unit != "bytes":
        text = f"{value:,.10g}" if isinstance(value, float) else f"{value:,}"
        return f"{text} {unit}".rstrip()
    for factor, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if value % factor == 0:
            return f"{value // factor:,} {name}"
    for factor, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if value >= factor:
            return f"{value / factor:,.10g} {name}"
    return f"{value:,} bytes"
