"""Settings: ``lightmeter.toml``, then ``LIGHTMETER_*`` variables; options of commands come last, where they exist.

A variable names its section and key with two underscores between: ``LIGHTMETER_CATALOGUE__URL``. Secrets are read from
variables only, by the plugin that needs them, and are no settings.
"""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from lightmeter.errors import UsageError


class Section(BaseModel):
    """A table of ``lightmeter.toml``; a key that does not exist is refused."""

    model_config = ConfigDict(extra="forbid")


class ProjectSection(Section):
    """What the project is."""

    name: str = ""
    salt: str = Field(
        "", description="mixed into the hash of camera serial numbers, so that nobody can guess them back"
    )


class CatalogueSection(Section):
    """Where the SQL catalogue is."""

    url: str = Field("sqlite:///catalogue.sqlite", description="SQLAlchemy URL; a SQLite path counts from the project")


class StoreSection(Section):
    """Where original bytes are kept."""

    path: Path = Field(Path("store"), description="folder of the photo store, counted from the project")


class CrawlSection(Section):
    """How photographs are fetched."""

    contact: str = Field("", description="an address or page that stands in the user agent, for those who are crawled")
    concurrency: int = Field(16, ge=1, le=256, description="requests at a time")
    per_host: int = Field(8, ge=1, le=64, description="requests at a time to one host")
    delay_s: float = Field(0.0, ge=0, description="least pause between two requests to one host, in seconds")
    attempts: int = Field(3, ge=1, description="how often a photograph is tried before it counts as failed")
    timeout_s: float = Field(60.0, gt=0, description="longest wait for one answer, in seconds")
    longest_pause_s: float = Field(600.0, ge=0, description="longest Retry-After that is waited for, in seconds")
    max_bytes: int = Field(200_000_000, gt=0, description="largest file that is fetched")
    private_addresses: bool = Field(default=False, description="fetch from private and loopback addresses too")


class InspectSection(Section):
    """How photographs are looked at."""

    workers: int = Field(0, ge=0, description="processes; 0: one for each core")
    max_pixels: int = Field(200_000_000, gt=0, description="largest picture that is decoded, in pixels")
    timeout_s: float = Field(30.0, gt=0, description="longest time for one photograph, in seconds")
    maker_notes_s: float = Field(0.0, ge=0, description="longest time for a file's MakerNotes, in seconds; 0: not read")
    later: tuple[str, ...] = Field(
        (), description="filters that fetching does not wait for: 'harvest inspect' does them"
    )


class PrivacySection(Section):
    """Personal data in EXIF; none is kept unless asked for."""

    keep_gps: bool = False
    keep_serial_numbers: bool = False
    keep_names: bool = False


class ServeSection(Section):
    """How models are served."""

    host: str = Field("127.0.0.1", description="address that TorchServe listens on")
    workers: int = Field(1, ge=1, description="worker processes for each model")
    batch_size: int = Field(8, ge=1, description="photographs a worker takes at a time, at most")
    max_batch_delay_ms: int = Field(1, ge=0, description="longest wait for a batch to fill, in milliseconds")
    max_request_bytes: int = Field(50_000_000, gt=0, description="largest request that is answered")
    token_minutes: float = Field(60.0, gt=0, description="how long a token is good; commands renew theirs")


class Settings(BaseSettings):
    """Everything that can be set; see ``docs/settings.md``."""

    model_config = SettingsConfigDict(env_prefix="LIGHTMETER_", env_nested_delimiter="__", extra="forbid")

    project: ProjectSection = ProjectSection()
    catalogue: CatalogueSection = CatalogueSection()
    store: StoreSection = StoreSection()
    crawl: CrawlSection = CrawlSection()
    inspect: InspectSection = InspectSection()
    privacy: PrivacySection = PrivacySection()
    serve: ServeSection = ServeSection()
    filters: dict[str, dict[str, Any]] = Field(default={}, description="thresholds of each filter, by its name")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let variables win over the file, which arrives as constructor arguments."""
        return env_settings, init_settings


def read_settings(file: Path | None) -> Settings:
    """Read settings.

    Args:
        file: a ``lightmeter.toml``; None for the built-in values and the variables alone.

    Raises:
        UsageError: if the file is not TOML, or a key or value in it or in a variable is wrong.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8")) if file else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}.") from error
    try:
        return Settings(**values)
    except ValidationError as error:
        raise UsageError(f"{file or 'The environment'}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """Return the first problem that pydantic found, as a sentence that names the key."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting '{where}'."
    said = problem["msg"].removeprefix("Value error, ")
    return f"'{where}' is wrong: {said}." if where else f"{said}."
