"""Settings: the file, environment variables and their errors."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.session import catalogue_url
from lightmeter.project import Project, create_project, find_project
from lightmeter.settings import read_settings


def _settings_file(folder: Path, content: str) -> Path:
    file = folder / "lightmeter.toml"
    file.write_text(content)
    return file


def test_environment_overrides_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _settings_file(tmp_path, "[crawl]\nconcurrency = 3\nper_host = 2\n")
    monkeypatch.setenv("LIGHTMETER_CRAWL__CONCURRENCY", "5")
    crawl = read_settings(file).crawl
    assert (crawl.concurrency, crawl.per_host) == (5, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[crawl]\nconcurency = 3\n", "crawl.concurency"),
        ("[crawl]\nconcurrency = 'many'\n", "crawl.concurrency"),
        ("[serve]\nmax_batch_delay_ms = 0\n", "serve.max_batch_delay_ms"),
        ("[crawling]\n", "crawling"),
        ("[crawl\n", "not valid TOML"),
    ],
)
def test_invalid_setting_is_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_settings(_settings_file(tmp_path, content))


def test_invalid_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTMETER_CRAWL__CONCURRENCY", "0")
    with pytest.raises(UsageError, match=r"crawl\.concurrency"):
        read_settings(None)


def test_project_is_located_in_parent_folder(project: Path) -> None:
    subfolder = project / "a" / "b"
    subfolder.mkdir(parents=True)
    assert find_project(subfolder).root == project.resolve()


@pytest.mark.parametrize("folder", ["plain", "Who?1", "100%20", "a%41", "#1 & 'b' \"c\"", "写真"])
def test_relative_sqlite_path_is_a_path_in_the_project(tmp_path: Path, folder: str) -> None:
    root = create_project(tmp_path / folder).root
    assert Project(root).settings.project.name == folder
    with create_engine(catalogue_url(Project(root))).connect():
        assert (root / "catalogue.sqlite").is_file()


@pytest.mark.parametrize("url", ["sqlite:////tmp/c.sqlite", "postgresql+psycopg://u@h/d"])
def test_absolute_catalogue_url_is_unchanged(tmp_path: Path, url: str) -> None:
    _settings_file(tmp_path, f"[catalogue]\nurl = '{url}'\n")
    assert catalogue_url(Project(tmp_path)).render_as_string(hide_password=False) == url
