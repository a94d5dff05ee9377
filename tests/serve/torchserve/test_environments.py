"""A server starts in any environment."""

import pwd
from pathlib import Path

import pytest

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.serve.gateway.server import listen
from lightmeter.serve.torchserve import environment
from lightmeter.serve.torchserve.environment import engine_environment, make_temporary, new_token, remove_temporary
from tests.serve.environments import HOST, LONG
from tests.serve.support import RunningServer, make_photo
from tests.support import CommandRunner


@pytest.mark.server
def test_server_starts_whatever_the_environment_says(
    fusion_server: RunningServer, lightmeter: CommandRunner, hostile: dict[str, str], photo: Path
) -> None:
    args = ("--project", fusion_server.project.root, "serve", "predict", "fusion", photo, "--server", "second")
    predicted = lightmeter.process(*args, env=hostile)

    assert predicted.returncode == 0, predicted.stderr
    assert hostile[HOST] in fusion_server.state.inference
    assert fusion_server.post("/predictions/fusion", token="wrong", content=make_photo()).status_code == 401
    assert len(fusion_server.state.temporary) < 60


ENVIRONMENTS: dict[str, tuple[dict[str, str], dict[str, str | None]]] = {
    "C locale": ({"LC_ALL": "C", "LANG": "C"}, {"LC_ALL": "C.UTF-8"}),
    "Turkish locale": ({"LC_ALL": "tr_TR.ISO-8859-9"}, {"LC_ALL": "C.UTF-8"}),
    "another TorchServe": ({"TS_CONFIG_FILE": "x", "TS_JOB_QUEUE_SIZE": "1"}, {"TS_CONFIG_FILE": None}),
    "another logging": ({"LOG4J_CONFIGURATION_FILE": "x"}, {"LOG4J_CONFIGURATION_FILE": None}),
    "the token": ({"LIGHTMETER_SERVE__TOKEN": "secret"}, {"LIGHTMETER_SERVE__TOKEN": None}),
    "no home": ({}, {"HOME": "/tmp/t"}),
    "a home that is not there": ({"HOME": "/nonexistent"}, {"HOME": "/tmp/t"}),
    "a home": ({"HOME": "/"}, {"HOME": "/"}),
    "long TMPDIR": ({"TMPDIR": "/x" * 100}, {"TMPDIR": "/tmp/t", "TEMP": "/tmp/t"}),
    "proxy": ({"http_proxy": "http://proxy"}, {"http_proxy": "http://proxy"}),
    "memory of Java": ({"JAVA_TOOL_OPTIONS": "-Xmx1g"}, {"JAVA_TOOL_OPTIONS": "-Xmx1g"}),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment_of_the_engine(name: str) -> None:
    given, expected = ENVIRONMENTS[name]
    result = engine_environment(given, Path("/tmp/t"), Path("/tmp/logs"), new_token())

    assert {variable: result.get(variable) for variable in expected} == expected
    assert result["LOG_LOCATION"] == "/tmp/logs"


def test_user_without_a_passwd_entry_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def getpwuid(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)

    assert engine_environment({}, Path("/t"), Path("/l"), new_token())["USER"] == "lightmeter"


@pytest.mark.parametrize("host", ["", "bad..host", "999.1.1.1", "203.0.113.7", "no-such-host.invalid", "a b", "ü" * 80])
def test_host_that_cannot_be_bound_is_refused_in_a_sentence(host: str) -> None:
    with pytest.raises(UsageError, match=r"host|address"):
        listen(host, 0)


def test_port_in_use_is_refused() -> None:
    with listen("127.0.0.1", 0) as other, pytest.raises(UsageError, match="in use"):
        listen("127.0.0.1", other.getsockname()[1])


def test_temporary_folder_is_short_and_belongs_to_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path.joinpath(*[LONG] * 4)))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")
    token = new_token()
    folder = make_temporary(token)

    assert len(str(folder)) < 60
    remove_temporary(folder, new_token())
    assert folder.is_dir()
    remove_temporary(folder, token)
    assert not folder.exists()


def test_no_folder_for_temporary_files_is_said_with_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_temporary_folders", lambda: iter(["/nonexistent", "/x" * 100]))

    with pytest.raises(LightmeterError, match=r"/nonexistent \(No such file.*too long"):
        make_temporary(new_token())


@pytest.mark.parametrize("marker", ["none", "link", "other"])
def test_foreign_folder_is_never_removed(tmp_path: Path, marker: str) -> None:
    folder, token = tmp_path / "folder", new_token()
    folder.mkdir()
    (folder / "precious").touch()
    if marker == "other":
        (folder / "lightmeter-server").write_text(new_token())
    if marker == "link":
        (folder / "lightmeter-server").write_text(token)
        (tmp_path / "link").symlink_to(folder)
        folder = tmp_path / "link"

    remove_temporary(folder, token)

    assert (folder / "precious").exists()
