"""Environments of servers: variables that have kept a server from starting, and a Python without Lightmeter."""

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from lightmeter.errors import UsageError
from lightmeter.serve.gateway.server import listen

LONG = "scratch-of-a-job-1234567"
"""Name of a folder that makes paths long."""

HOST = "LIGHTMETER_SERVE__HOST"

_ARCHIVE_REQUIREMENTS = ("torch", "numpy", "pillow", "safetensors")
_TORCHSERVE_REQUIREMENTS = ("torchserve", "pyyaml")


def hostile_environment(folder: Path) -> dict[str, str]:
    """Return an environment with everything at once that has kept a server from starting.

    Args:
        folder: An empty folder, for temporary files and the configuration of another server.
    """
    long = folder.joinpath(*[LONG] * 8)
    long.mkdir(parents=True)
    foreign = folder / "foreign.properties"
    foreign.write_text("inference_address=http://0.0.0.0:1\nload_models=none\ndisable_token_authorization=true\n")
    kept = {name: value for name, value in os.environ.items() if name not in {"HOME", "USER", "LOGNAME", "LANG"}}
    return kept | {
        "LC_ALL": "C",
        "TMPDIR": str(long),
        "TS_CONFIG_FILE": str(foreign),
        "TS_MODEL_STORE": "/nonexistent",
        "TS_DISABLE_TOKEN_AUTHORIZATION": "true",
        "TS_INFERENCE_ADDRESS": "http://0.0.0.0:2",
        "LOG4J_CONFIGURATION_FILE": "/nonexistent.xml",
        "JAVA_HOME": "/nonexistent",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
        "LIGHTMETER_SERVE__OTLP_ENDPOINT": "",  # it would be reached through the proxy
        HOST: "::1" if _has_ipv6() else "localhost",
    }


def _has_ipv6() -> bool:
    try:
        listen("::1", 0).close()
    except UsageError:
        return False
    return True


def make_minimal_python(folder: Path) -> Path:
    """Create a Python with the requirements of archives and TorchServe only, linked from this environment.

    Args:
        folder: An empty folder.

    Returns:
        Its interpreter.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next((folder / "lib").glob("python*/site-packages"))
    for name in _with_dependencies((*_ARCHIVE_REQUIREMENTS, *_TORCHSERVE_REQUIREMENTS)):
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files or []}:
            source = Path(str(installed.locate_file(top)))
            if top not in {"..", "__pycache__"} and source.exists() and not (packages / top).exists():
                (packages / top).symlink_to(source)
    return folder / "bin" / "python"


def _with_dependencies(names: tuple[str, ...]) -> set[str]:
    """Return distributions and their requirements, without extras and those of other platforms."""
    closure: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop().lower().replace("_", "-")
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        if name not in closure:
            closure.add(name)
            required = [text for text in requirements if "extra ==" not in text]
            pending += [match[0] for text in required if (match := re.match(r"[\w.-]+", text))]
    return closure
