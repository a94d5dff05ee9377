"""Settings: the file, then variables; wrong ones are refused with their name."""

from pathlib import Path

import pytest

from lightmeter.errors import UsageError
from lightmeter.project import Project, find_project
from lightmeter.settings import read_settings


def _file(folder: Path, content: str) -> Path:
    file = folder / "lightmeter.toml"
    file.write_text(content)
    return file


def test_variables_win_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _file(tmp_path, "[crawl]\nconcurrency = 3\nper_host = 2\n")
    monkeypatch.setenv("LIGHTMETER_CRAWL__CONCURRENCY", "5")
    crawl = read_settings(file).crawl
    assert (crawl.concurrency, crawl.per_host) == (5, 2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[crawl]\nconcurency = 3\n", "crawl.concurency"),
        ("[crawl]\nconcurrency = 'many'\n", "crawl.concurrency"),
        ("[crawling]\n", "crawling"),
        ("[crawl\n", "not valid TOML"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_settings(_file(tmp_path, content))


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTMETER_CRAWL__CONCURRENCY", "0")
    with pytest.raises(UsageError, match=r"crawl\.concurrency"):
        read_settings(None)


def test_the_nearest_project_above_is_found(project: Path) -> None:
    below = project / "a" / "b"
    below.mkdir(parents=True)
    assert find_project(below).root == project.resolve()


def test_a_relative_sqlite_path_counts_from_the_project(tmp_path: Path) -> None:
    _file(tmp_path, "[catalogue]\nurl = 'sqlite:///c.sqlite'\n")
    assert Project(tmp_path).catalogue_url == f"sqlite:///{tmp_path}/c.sqlite"


@pytest.mark.parametrize("url", ["sqlite:////tmp/c.sqlite", "postgresql+psycopg://u@h/d"])
def test_other_urls_stay_as_they_are(tmp_path: Path, url: str) -> None:
    _file(tmp_path, f"[catalogue]\nurl = '{url}'\n")
    assert Project(tmp_path).catalogue_url == url
