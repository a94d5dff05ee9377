"""Commands of the operator: tokens and remote servers; `tests.journeys.test_operator` starts servers of its own."""

from pathlib import Path

import pytest

from lightmeter.serve.client import RemoteClient
from lightmeter.serve.gateway.tokens import Tokens, rotate_key
from tests.serve.support import RunningServer, make_photo, run_in_project
from tests.support import run_error, run_text


def test_rotated_token_replaces_the_old_one_at_once(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "token"
    tokens = Tokens(60, key_file=file)
    assert not tokens.accepts("")
    first = rotate_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert tokens.accepts(first)
    second = rotate_key(file)
    assert tokens.accepts(second)
    assert not tokens.accepts(first)
    file.write_text("short")
    assert not tokens.accepts("short")
    file.unlink()
    assert not tokens.accepts(second)


def test_token_is_printed_and_rotated(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "serve token --rotate" in run_error("serve", "token")
    made = run_text("serve", "token", "--rotate").strip()
    assert run_text("serve", "token").strip() == made
    assert (project / "serve.token").read_text().strip() == made
    (project / "serve.token").chmod(0o644)
    assert "chmod 600" in run_error("serve", "token")
    monkeypatch.setenv("LIGHTMETER_SERVE__TOKEN", "a-key-that-never-expires")
    assert run_text("serve", "token") == "a-key-that-never-expires\n"


@pytest.mark.server
def test_remote_server_is_asked_with_a_token(
    server: RunningServer, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project, url = server.project, server.state.inference
    token = run_in_project("serve", "token", "--rotate", project=project).document["token"]
    monkeypatch.setenv("REMOTE_TOKEN", token)
    command = ["serve", "predict", "tiny", photo, "--url", f"{url}/"]
    document = run_in_project(*command, "--token", "env:REMOTE_TOKEN", project=project).document
    assert document == run_in_project("serve", "predict", "tiny", photo, project=project).document
    refused = run_in_project(*command, project=project)
    assert refused.code == 1
    assert refused.document[0]["error"]["status"] == 401
    with RemoteClient(url, token) as client:
        assert client.predict("other", make_photo())["error"]["status"] == 404
    assert "is not the URL" in run_error("serve", "predict", "tiny", photo, "--url", "museum")
    assert "--token is for --url" in run_error("serve", "predict", "tiny", photo, "--token", "abc")
    (project.root / "serve.token").unlink()
