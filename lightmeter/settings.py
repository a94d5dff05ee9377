"""Project settings: ``lightmeter.toml``, overridden by ``LIGHTMETER_*`` environment variables.

A variable names its section and key, separated by two underscores: ``LIGHTMETER_CATALOGUE__URL``. Secrets are not
settings: the plugin that needs one reads it from its own variable.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from lightmeter.errors import UsageError
from lightmeter.plugins import nearest_names
from lightmeter.store.urls import StoreUrl
from lightmeter.text.documents import read_toml
from lightmeter.text.names import name_problem

EngineName = Literal["torch", "openvino", "onnxruntime"]
"""Name of an inference engine."""

LoggerName = Literal["tensorboard", "mlflow", "wandb"]
"""Name of an experiment tracker."""


class Section(BaseModel):
    """A table of ``lightmeter.toml``. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ProjectSection(Section):
    """The project itself."""

    name: str = Field("", description="name of the project")
    authors: tuple[str, ...] = Field(
        (),
        description="authors of its data sets: `Family, Given`, `Family, Given <https://orcid.org/…>` or the name of a "
        "group; default: the name of the project",
    )
    licence: str = Field(
        "", description="SPDX identifier of the licence of its data sets as compilations, without the photographs"
    )
    url: str = Field("", description="web page of its data sets")
    salt: str = Field("", description="salt of camera serial number hashes, so that they cannot be guessed")

    @field_validator("authors")
    @classmethod
    def _check_authors(cls, authors: tuple[str, ...]) -> tuple[str, ...]:
        for author in authors:
            if not author.strip() or name_problem(author.replace("/", "").strip()):
                raise ValueError(f"'{author}' is not a name")
        return authors

    @field_validator("licence")
    @classmethod
    def _check_licence(cls, licence: str) -> str:
        try:
            return canonicalize_license_expression(licence) if licence else ""
        except InvalidLicenseExpression as error:
            raise ValueError(f"'{licence}' is no SPDX identifier such as CC-BY-4.0") from error

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if url and not re.match(r"https?://[^/\s]+\S*$", url):
            raise ValueError("write https://HOST/PATH")
        return url


class CatalogueSection(Section):
    """The SQL catalogue."""

    url: str = Field(
        "sqlite:///catalogue.sqlite", description="SQLAlchemy URL; SQLite paths are relative to the project"
    )
    retry_s: float = Field(
        60.0,
        ge=0,
        description="how long a locked or unreachable catalogue is waited for",
    )


class StoreSection(Section):
    """The photo store."""

    url: str = Field(
        "file:store",
        description="`file:FOLDER`, relative to the project, or `s3://BUCKET/PREFIX`, which needs the extra s3; "
        "endpoint and credentials come from the usual variables (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, …)",
    )
    cache_mb: int = Field(
        10_000, ge=0, description="maximum size of the local cache of photographs in an object store, in MB; 0: none"
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        return str(StoreUrl.parse(url))


class SiteSection(Section):
    """Access to a private site."""

    headers: dict[str, str] = Field(
        default={}, description="headers of each request; env:VARIABLE and file:PATH stand for secrets"
    )
    cookies: Path | None = Field(None, description="cookie file in Netscape format, as browsers export it, mode 600")


class CrawlSection(Section):
    """Downloads."""

    contact: str = Field(
        "", description="e-mail address or web page in the user agent, for the owners of crawled sites"
    )
    concurrency: int = Field(16, ge=1, le=256, description="concurrent requests")
    per_host: int = Field(8, ge=1, le=64, description="concurrent requests per host")
    delay_s: float = Field(0.0, ge=0, description="minimum delay between requests to a host, in seconds")
    attempts: int = Field(3, ge=1, description="attempts per photograph")
    timeout_s: float = Field(60.0, gt=0, description="response timeout, in seconds")
    max_retry_after_s: float = Field(
        600.0, ge=0, description="longest Retry-After and Crawl-delay that are obeyed, in seconds"
    )
    lease_s: float = Field(
        60.0, ge=1, le=3600, description="seconds after which other workers take over from one that is silent"
    )
    max_bytes: int = Field(200_000_000, gt=0, description="maximum file size")
    max_page_bytes: int = Field(10_000_000, gt=0, description="maximum size of a web page, unpacked")
    max_robots_bytes: int = Field(512_000, ge=512_000, description="bytes of a robots.txt that are read")
    max_header_bytes: int = Field(64_000, ge=1000, description="maximum size of the headers of a response")
    max_pages: int = Field(10_000, ge=1, description="web pages that a run requests from a site")
    max_page_depth: int = Field(1000, ge=0, description="links between a start page and the pages that are requested")
    private_addresses: bool = Field(default=False, description="allow private and loopback addresses")
    proxy: SecretStr | None = Field(
        None, description="URL of a proxy for all requests; with a password, keep it in LIGHTMETER_CRAWL__PROXY"
    )
    sites: dict[str, SiteSection] = Field(
        default={}, description="headers and cookies of private sites, by host; see [Private sites](harvest.md)"
    )

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy and not re.match(r"https?://[^/\s]+/?$", proxy.get_secret_value()):
            raise ValueError("write http://HOST:PORT")
        return proxy


class InspectSection(Section):
    """Filters."""

    workers: int = Field(0, ge=0, description="worker processes; 0: one per core")
    max_pixels: int = Field(200_000_000, gt=0, description="maximum image size, in pixels")
    max_memory_mb: int = Field(
        1500,
        gt=0,
        description="maximum memory that decoding a photograph may take, by its header, in MB",
    )
    timeout_s: float = Field(30.0, gt=0, description="time limit per photograph, in seconds")
    maker_notes_s: float = Field(0.0, ge=0, description="time limit for MakerNotes, in seconds; 0: not read")
    disabled: tuple[str, ...] = Field((), description="filters that run only if the command line names them")
    later: tuple[str, ...] = Field((), description="filters that are skipped at download and run by 'harvest inspect'")


class ExifSection(Section):
    """EXIF; by default only technical tags are stored."""

    keep_all: bool = Field(
        default=False, description="store all tags, also names, texts and serial numbers; never coordinates"
    )


class ModelsSection(Section):
    """Models."""

    loggers: tuple[LoggerName, ...] = Field((), description="experiment trackers of trainings; each needs its extra")

    engine: EngineName = Field(
        "torch", description="inference engine; openvino and onnxruntime need the extra of that name, and run on CPUs"
    )


class ServeSection(Section):
    """TorchServe."""

    host: str = Field("127.0.0.1", description="address that TorchServe listens on")
    port: int = Field(0, ge=0, le=65535, description="port of predictions; 0: any free port")
    management_port: int = Field(0, ge=0, le=65535, description="loopback port of the management API; 0: any free one")
    metrics_port: int = Field(0, ge=0, le=65535, description="loopback port of the metrics; 0: any free one")
    grpc_port: int = Field(0, ge=0, le=65535, description="loopback port of gRPC predictions; 0: any free one")
    workers: int = Field(1, ge=1, description="worker processes per model")
    batch_size: int = Field(8, ge=1, description="maximum batch size")
    # TorchServe takes 0 for its own default, 100 ms.
    max_batch_delay_ms: int = Field(1, ge=1, description="maximum wait for a full batch, in milliseconds")
    max_request_bytes: int = Field(50_000_000, gt=0, lt=2**31, description="maximum request size")
    token_minutes: float = Field(60.0, gt=0, description="lifetime of the published token, replaced at its half")
    token: SecretStr | None = Field(
        None,
        description="token that never expires, beside the published one; keep it in LIGHTMETER_SERVE__TOKEN",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="format of a server's logs; json: a line for each request as well, with its id"
    )
    otlp_endpoint: str = Field(
        "",
        description="OpenTelemetry collector (OTLP over HTTP), such as http://127.0.0.1:4318, which gets traces of "
        "requests; needs the extra tracing",
    )
    token_file: Path = Field(
        Path("serve.token"),
        description="file, mode 600, of the token that 'serve token --rotate' makes, relative to the project",
    )


class Settings(BaseSettings):
    """All settings; ``docs/settings.md`` lists them."""

    model_config = SettingsConfigDict(env_prefix="LIGHTMETER_", env_nested_delimiter="__", extra="forbid")

    project: ProjectSection = ProjectSection()
    catalogue: CatalogueSection = CatalogueSection()
    store: StoreSection = StoreSection()
    crawl: CrawlSection = CrawlSection()
    inspect: InspectSection = InspectSection()
    exif: ExifSection = ExifSection()
    models: ModelsSection = ModelsSection()
    serve: ServeSection = ServeSection()
    filters: dict[str, dict[str, Any]] = Field(default={}, description="settings of each filter, by name")
    queries: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")], str] = Field(
        default={}, description="saved queries by name; @NAME in a query stands for the saved one"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let environment variables override the file, whose values are the constructor arguments."""
        return env_settings, init_settings


def read_settings(file: Path | None) -> Settings:
    """Read settings from a file and the environment.

    Args:
        file: A ``lightmeter.toml``; None for defaults and environment variables only.

    Raises:
        UsageError: The file is not valid TOML, or a key or value is invalid.
    """
    values = read_toml(file) if file else {}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise UsageError(f"{file or 'Environment'}: {first_error(error, Settings)}") from error


def first_error(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Return the first error of a pydantic validation as a sentence that names the key.

    Args:
        error: The error.
        model: Model that was validated, to suggest the nearest keys for a wrong one.
    """
    details = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in details["loc"])
    if details["type"] == "extra_forbidden":
        similar = nearest_names(str(details["loc"][-1]), _keys(model, details["loc"][:-1]))
        hint = f"; did you mean {' or '.join(similar)}?" if similar else "."
        return f"unknown setting '{key}'{hint}"
    message = details["msg"].removeprefix("Value error, ")
    return f"invalid '{key}': {message}." if key else f"{message}."


def _keys(model: type[BaseModel] | None, path: Sequence[int | str]) -> list[str]:
    """Return the keys of the table at a path of a model."""
    for part in path:
        field = model.model_fields.get(str(part)) if model else None
        annotation = field.annotation if field else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return list(model.model_fields) if model else []
