"""Diagnosis of dead workers from the logs of TorchServe."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from lightmeter.errors import LightmeterError
from lightmeter.serve.torchserve import diagnosis
from lightmeter.serve.torchserve.diagnosis import diagnose_worker, first_error, last_lines
from lightmeter.serve.torchserve.state import ServerDirectory

LOG = """\
2026-01-01T00:00:00,000 [INFO ] W-9000-good_1.0-stdout MODEL_LOG - Torch worker started.
2026-01-01T00:00:00,000 [INFO ] W-9001-bad_1.0-stdout MODEL_LOG - Torch worker started.
2026-01-01T00:00:00,000 [INFO ] W-9001-bad_1.0-stdout MODEL_LOG - Backend worker process died.
2026-01-01T00:00:00,000 [INFO ] W-9001-bad_1.0-stdout MODEL_LOG - Traceback (most recent call last):
2026-01-01T00:00:00,000 [INFO ] W-9001-bad_1.0-stdout MODEL_LOG -   File "a.py", line 1, in load
2026-01-01T00:00:00,000 [INFO ] W-9001-bad_1.0-stdout MODEL_LOG - KeyError: 'first'
2026-01-01T00:00:00,000 [INFO ] W-9001-bad_1.0-stdout MODEL_LOG - ...
2026-01-01T00:00:00,000 [INFO ] W-9001-bad_1.0-stdout MODEL_LOG - During handling of the above exception, another:
2026-01-01T00:00:00,000 [INFO ] W-9001-bad_1.0-stdout MODEL_LOG - Traceback (most recent call last):
2026-01-01T00:00:00,000 [INFO ] W-9001-bad_1.0-stdout MODEL_LOG -   File "b.py", line 2, in initialize
2026-01-01T00:00:00,000 [INFO ] W-9001-bad_1.0-stdout MODEL_LOG - BrokenModel: size mismatch.
2026-01-01T00:00:00,000 [INFO ] W-9001-bad_1.0-stdout MODEL_LOG - Backend worker process died.
2026-01-01T00:00:00,000 [INFO ] W-9001-bad_1.0-stdout MODEL_LOG - Traceback (most recent call last):
2026-01-01T00:00:00,000 [INFO ] W-9001-bad_1.0-stdout MODEL_LOG - OSError: of the second worker
2026-01-01T00:00:00,000 [WARN ] W-9002-bare_1.0-stderr MODEL_LOG - Traceback (most recent call last):
2026-01-01T00:00:00,000 [WARN ] W-9002-bare_1.0-stderr MODEL_LOG -   File "c.py", line 3, in <module>
2026-01-01T00:00:00,000 [WARN ] W-9002-bare_1.0-stderr MODEL_LOG - ModuleNotFoundError: No module named 'ts'
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerDirectory:
    monkeypatch.setattr(diagnosis, "_TRACEBACK_S", 0)
    directory = ServerDirectory(tmp_path)
    directory.logs.mkdir()
    (directory.logs / "model_log.log").write_text(LOG)
    return directory


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("bad_1.0", "Model bad_1.0 failed to load: BrokenModel: size mismatch (log:"),
        ("bare_1.0", "Model bare_1.0 failed to load: ModuleNotFoundError: No module named 'ts' (log:"),
        (None, "Model bad_1.0 failed to load: BrokenModel: size mismatch (log:"),
    ],
)
def test_final_exception_of_the_first_worker_is_reported(
    directory: ServerDirectory, model: str | None, reason: str
) -> None:
    assert (diagnose_worker(directory, model) or "").startswith(reason)


def test_running_worker_has_no_diagnosis(directory: ServerDirectory) -> None:
    assert diagnose_worker(directory, "good_1.0") is None


HOOK = 'Exception in thread "Thread-1" java.lang.NullPointerException: in the shutdown hook'
LINES = {
    "xpu-smi not available or failed: Cannot run program\n"
    "2026-01-01T00:00:00,000 [DEBUG] main org.pytorch.serve.util.ConfigManager - xpu-smi error=2\n"
    "Invalid configuration: Malformed input or input contains unmappable characters: key_file.json\n"
    f"{HOOK}": "Invalid configuration: Malformed input or input contains unmappable characters: key_file.json",
    "2026-01-01T00:00:00,000 [ERROR] main org.pytorch.serve.ModelServer - Server failed to start\n"
    "java.net.BindException: Address already in use": "java.net.BindException: Address already in use",
    "Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nError: first\n  at line\nException: last\nbye": "Error: first",
    "lightmeter: TorchServe ended with exit code 1.": "TorchServe ended with exit code 1",
    "bye": "bye",
    "\n": "no output",
}


@pytest.mark.parametrize("console", LINES)
def test_first_error_of_the_server_is_reported(directory: ServerDirectory, console: str) -> None:
    (directory.logs / "console.log").write_text(console)

    assert first_error(directory) == LINES[console]


def test_missing_log_raises_error(tmp_path: Path) -> None:
    with pytest.raises(LightmeterError, match="never started"):
        last_lines(ServerDirectory(tmp_path / "other"), 5)


def test_every_log_file_is_rotated() -> None:
    root = ET.parse(Path(diagnosis.__file__).parent / "log4j2.xml").getroot()
    files = [appender for appender in root.iter() if "fileName" in appender.attrib]

    assert {file.tag for file in files} == {"RollingFile"}
    assert len(files) == 3
    for file in files:
        assert file.find("SizeBasedTriggeringPolicy") is not None
        assert file.find("DefaultRolloverStrategy") is not None
