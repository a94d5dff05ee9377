import os
import stat
import threading
from pathlib import Path

import pytest

from lightmeter.errors import UsageError
from lightmeter.files import atomic_path, check_output, format_of, write_atomic, write_output

FORMATS = {".csv": "csv", ".parquet": "parquet"}


def test_failed_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    with pytest.raises(TypeError), atomic_path(target) as temporary:
        temporary.write_bytes("half")  # type: ignore[arg-type]
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.html", "old")]


def test_link_is_followed_only_if_a_user_names_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link, loop = tmp_path / "link.csv", tmp_path / "loop.csv"
    link.symlink_to(tmp_path / "elsewhere" / "table.csv")
    loop.symlink_to(loop)
    write_output(link, "a")  # the link points to nothing yet
    write_output(link, "b")
    assert link.is_symlink()
    write_atomic(link, "c")
    check_output(loop)
    write_output(loop, "d")
    assert (tmp_path / "elsewhere" / "table.csv").read_text() == "b"
    assert [(path.is_symlink(), path.read_text()) for path in (link, loop)] == [(False, "c"), (False, "d")]


def test_new_file_has_permissions_of_umask_and_existing_file_keeps_its_own(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        write_atomic(tmp_path / "new", "")
        write_atomic(tmp_path / "private", "")
        (tmp_path / "private").chmod(0o600)
        write_atomic(tmp_path / "private", "content")
    finally:
        os.umask(previous)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "private")] == [0o640, 0o600]


def test_named_pipe_receives_the_content(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    write_output(pipe, "a,b\n" * 50_000)
    reader.join(timeout=10)
    assert received == ["a,b\n" * 50_000]
    assert pipe.is_fifo()
    write_atomic(pipe, "a file of Lightmeter's own")
    assert pipe.is_file()


def test_format_follows_suffix(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert format_of(Path("table.PARQUET"), FORMATS) == "parquet"
    assert format_of(tmp_path / "pipe", FORMATS, default="csv") == "csv"
    assert format_of(Path("-"), FORMATS, default="csv") == "csv"
    for name in ("table.xlsx", "table", "-"):
        with pytest.raises(UsageError, match=r"ends in \.csv or \.parquet"):
            format_of(Path(name), FORMATS, default=None if name == "-" else "csv")
