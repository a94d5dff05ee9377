"""What every floor's tests use."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs, broken files and recorded answers that lies beside a developer's checkout."""
    if not (SHARED / "photos" / "truth.csv").is_file():
        pytest.skip("the test material (real photographs, broken files) is not beside this checkout")
    return SHARED


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project, which is the working directory."""
    from lightmeter.project import create

    root = create(tmp_path / "project").root
    monkeypatch.chdir(root)
    return root
