"""Labels go to a running Label Studio and back: export, annotation through its API, import.

Label Studio needs an environment of its own (``python -m venv ls && ls/bin/pip install label-studio``); its program is found
as ``LABEL_STUDIO`` or on the path.
"""

import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.labels.annotations.helpers import add_labelled_photographs, effective_labels
from tests.support import run_json, wait_until

PROGRAM = os.environ.get("LABEL_STUDIO") or shutil.which("label-studio")
TOKEN = "0123456789abcdef0123456789abcdef01234567"

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="Label Studio is not installed; set LABEL_STUDIO to its program"
)


class LabelStudio:
    """The API of a running Label Studio.

    Args:
        port: Its port.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def send(self, method: str, path: str, message: Any = None) -> bytes:
        data = None if message is None else json.dumps(message).encode()
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                body: bytes = response.read()
        except urllib.error.HTTPError as error:
            raise ConnectionError(f"{method} {path}: {error.read().decode(errors='replace')[:2000]}") from error
        return body

    def json(self, method: str, path: str, message: Any = None) -> Any:
        return json.loads(self.send(method, path, message))

    def is_ready(self) -> bool:
        try:
            self.send("GET", "/api/projects/")
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    """A running Label Studio with a database of its own."""
    folder = tmp_path_factory.mktemp("label-studio")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = {
        "BASE_DATA_DIR": str(folder), "LOCAL_FILES_SERVING_ENABLED": "true", "LOCAL_FILES_DOCUMENT_ROOT": "/",
        "ENABLE_LEGACY_API_TOKEN": "true",
    }  # fmt: skip
    environment = {**os.environ, **{f"LABEL_STUDIO_{name}": value for name, value in settings.items()}}
    environment |= {"LATEST_VERSION_CHECK": "false", "COLLECT_ANALYTICS": "false", "SENTRY_DSN": ""}
    options = ["start", "--no-browser", "--port", str(port), "--internal-host", "127.0.0.1"]
    account = ["--username", "eve@example.org", "--password", "a long password", "--user-token", TOKEN]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(PROGRAM), *options, *account], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    running = LabelStudio(port)
    try:
        wait_until(lambda: process.poll() is not None or running.is_ready(), timeout_s=300)
        assert process.poll() is None, (folder / "log").read_text()
        yield running
    finally:
        process.terminate()
        process.wait(30)


def test_labels_go_to_label_studio_and_back(catalogue: Any, studio: LabelStudio) -> None:
    add_labelled_photographs(catalogue)
    store = catalogue.project.store
    run_json("labels", "target", "new", "stars", "--rating", "5")
    run_json("labels", "target", "new", "note", "--text")
    targets = ("--target", "medium", "--target", "stars", "--target", "note")
    run_json("labels", "export", "tasks.json", *targets)
    run_json("labels", "export", "view.xml", *targets)
    view = Path("view.xml").read_text().replace("</View>", '<Number name="quality" toName="image"/></View>')
    project = studio.json("POST", "/api/projects/", {"title": "labels", "label_config": view})["id"]
    exported = json.loads(Path("tasks.json").read_text())
    assert studio.json("POST", f"/api/projects/{project}/import", exported)["task_count"] == 4

    tasks = studio.json("GET", f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true")
    tasks.sort(key=lambda task: task["data"]["file"])
    assert [task["data"]["sha256"] for task in tasks] == [task["data"]["sha256"] for task in exported]
    store.put(tasks[0]["data"]["sha256"], b"\xff\xd8 a photograph")
    storage = {"project": project, "path": str(Path(store.location(tasks[0]["data"]["sha256"])).parent)}
    studio.json("POST", "/api/storages/localfiles/", {**storage, "use_blob_urls": True})
    assert studio.send("GET", tasks[0]["data"]["image"]) == b"\xff\xd8 a photograph"  # the address is encoded

    def annotate(task: Any, **message: Any) -> None:
        studio.json("POST", f"/api/tasks/{task['id']}/annotations/", message)

    def choice(name: str, kind: str, **value: Any) -> dict[str, Any]:
        return {"from_name": name, "to_name": "image", "type": kind, "value": value}

    film = choice("medium", "choices", choices=["film"])
    more = [choice("stars", "rating", rating=4), choice("note", "textarea", text=["by the sea"])]
    annotate(tasks[0], result=[film, *more, choice("quality", "number", number=3)])
    annotate(tasks[1], result=[film], was_cancelled=True)
    for kind, name in (("JSON", "1.jpg"), ("JSON_MIN", "3.jpg")):
        if kind == "JSON_MIN":
            annotate(tasks[2], result=[film, *more])
        path = f"/api/projects/{project}/export?exportType={kind}&download_all_tasks=true"
        Path("back.json").write_bytes(studio.send("GET", path))
        result = run_json("labels", "import", "back.json")
        assert result["added"] == (3 if kind == "JSON" else 3 + 4), result  # JSON-MIN does not say what was exported
        assert result["ignored"] == {"quality (number)" if kind == "JSON" else "quality": 1}
        assert result["skipped"] == (kind == "JSON")
        labels = effective_labels(name)
        assert labels.items() >= {("medium", "film"), ("stars", "4"), ("note", "by the sea")}
    assert effective_labels("2.jpg")["medium"] == "digital"  # skipped
    (history,) = run_json("labels", "show", "1.jpg")
    assert {row["author"] for row in history["labels"] if row["origin"] == "import"} == {"1"}  # the annotator's id
