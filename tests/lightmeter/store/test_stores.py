"""Photo stores: what all have in common, and object storage that fails."""

import hashlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lightmeter.errors import UsageError
from lightmeter.store import objects
from lightmeter.store.base import PhotographError, PhotoStore, StoreError
from lightmeter.store.local import LocalStore
from lightmeter.store.objects import ObjectStore
from lightmeter.store.urls import StoreUrl
from tests.s3 import S3Server

DATA = b"photograph"
HASH = hashlib.sha256(DATA).hexdigest()


def open_store(url: str, folder: Path, cache_mb: int = 0) -> PhotoStore:
    return StoreUrl.parse(url).open(folder, folder / "cache", cache_mb)


@pytest.fixture(params=["file", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> PhotoStore:
    urls = {"file": "file:store", "memory": f"memory://test{abs(hash(tmp_path)) % 10**9}/a"}
    store = open_store(urls.get(request.param) or request.getfixturevalue("s3_url"), tmp_path)
    store.create()
    return store


@pytest.fixture
def new_connections() -> Iterator[Callable[[], None]]:
    """Function after which the environment is read again."""
    yield objects._file_system.cache_clear
    objects._file_system.cache_clear()


@pytest.fixture
def s3_store(s3_url: str, tmp_path: Path) -> PhotoStore:
    return open_store(s3_url, tmp_path)


def test_all_stores_keep_photographs_by_their_hash(store: PhotoStore) -> None:
    store.check_access()
    with store:
        assert store.size(HASH) is None
        assert store.fault(HASH) == "missing"
        assert not store.put(HASH, DATA)
        assert not pickle.loads(pickle.dumps(store)).put(HASH, DATA)
    assert store.read(HASH) == DATA
    assert store.size(HASH) == len(DATA)
    assert store.fault(HASH) is None
    assert store.location(HASH).endswith(f"{HASH[:2]}/{HASH}")
    (file,) = store.files(HASH[:2])
    assert (file.sha256, file.size) == (HASH, len(DATA))
    assert abs(datetime.now(UTC) - file.modified) < timedelta(minutes=5)
    assert not list(store.files("00"))
    assert store.discard(HASH)
    assert not store.discard(HASH)
    with pytest.raises(PhotographError, match="No such file") as error:
        store.read(HASH)
    assert pickle.loads(pickle.dumps(error.value)).fault == "missing"


def test_damaged_photograph_is_refused_and_replaced(store: PhotoStore) -> None:
    store.put(HASH, b"other")  # bytes of another size
    assert store.fault(HASH) == "damaged"
    with pytest.raises(PhotographError, match="its bytes have changed"):
        store.read(HASH)
    assert store.put(HASH, DATA)
    assert store.read(HASH) == DATA


def test_photograph_stored_again_counts_as_recent(store: PhotoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(HASH, DATA)
    before = next(store.files(HASH[:2])).modified
    if isinstance(store, LocalStore):
        os.utime(store.path(HASH), (0, 0))
        before = datetime.fromtimestamp(0, UTC)
    monkeypatch.setattr(objects, "_RENEWED_AFTER", timedelta(-1))
    store.put(HASH, DATA)
    assert next(store.files(HASH[:2])).modified >= before + timedelta(0 if isinstance(store, ObjectStore) else 1)


def test_large_photograph_is_uploaded_in_parts(
    s3_store: PhotoStore, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_PART_BYTES", 5 << 20)
    data = bytes(11 << 20)
    sha256 = hashlib.sha256(data).hexdigest()
    s3_server.requests.clear()
    assert not s3_store.put(sha256, data)
    assert [method for method, _ in s3_server.requests] == ["POST", *["PUT"] * 3, "POST"]
    assert not s3_store.put(sha256, data)
    assert s3_store.read(sha256) == data
    assert s3_store.fault(sha256) is None


@pytest.mark.parametrize("faults", [("busy", "busy"), ("cut",), ("lost",)], ids=str)
def test_upload_survives_a_service_that_fails_for_a_moment(
    faults: tuple[str, ...], s3_store: PhotoStore, s3_server: S3Server
) -> None:
    s3_server.fail("PUT", *faults)
    assert not s3_store.put(HASH, DATA)
    assert s3_store.read(HASH) == DATA
    assert len(list(s3_store.files(HASH[:2]))) == 1


def test_read_survives_a_service_that_fails_for_a_moment(s3_store: PhotoStore, s3_server: S3Server) -> None:
    s3_store.put(HASH, DATA)
    s3_server.fail("GET", "busy", "cut")
    assert s3_store.read(HASH) == DATA


def test_each_failure_is_one_sentence_without_secrets(
    s3_store: PhotoStore,
    s3_server: S3Server,
    new_connections: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    new_connections()
    s3_server.fail("PUT", "denied")
    with pytest.raises(StoreError, match="access is denied; check the credentials") as error:
        s3_store.put(HASH, DATA)
    assert "secret" not in str(error.value)
    missing = open_store("s3://no-such-bucket/x", tmp_path)
    for use in (missing.create, lambda: missing.put(HASH, DATA), lambda: missing.read(HASH)):
        with pytest.raises(StoreError, match="the bucket no-such-bucket does not exist"):
            use()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    new_connections()
    with pytest.raises(StoreError, match="its endpoint cannot be reached"):
        s3_store.read(HASH)
    for name, value, reason in (
        ("AWS_ENDPOINT_URL", "museum", "Invalid endpoint: museum"),
        ("AWS_ENDPOINT_URL", s3_server.environment["AWS_ENDPOINT_URL"].replace("http:", "https:"), "TLS certificate"),
        ("AWS_DEFAULT_REGION", "no region", "doesn't match a supported format"),
        ("AWS_PROFILE", "nobody", r"profile \(nobody\) could not be found"),
    ):
        with monkeypatch.context() as context:
            context.setenv(name, value)
            new_connections()
            with pytest.raises(StoreError, match=reason):
                s3_store.read(HASH)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    new_connections()
    with pytest.raises(StoreError, match="there are no credentials"):
        s3_store.put(HASH, DATA)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    new_connections()
    with pytest.raises(UsageError, match=r"pip install 'lightmeter\[s3\]'"):
        s3_store.read(HASH)


def test_cache_is_read_bounded_and_repaired(s3_url: str, s3_server: S3Server, tmp_path: Path) -> None:
    store = open_store(s3_url, tmp_path, cache_mb=1)
    photographs = {hashlib.sha256(data).hexdigest(): data for data in (bytes([index]) * 40_000 for index in range(40))}
    for sha256, data in photographs.items():
        store.put(sha256, data)
        assert store.read(sha256) == data
    cached = list((tmp_path / "cache").glob("??/*"))
    assert 10 < len(cached) <= 25
    assert sum(path.stat().st_size for path in cached) <= 1_000_000
    s3_server.requests.clear()
    last = max(cached, key=lambda path: path.stat().st_mtime_ns)
    assert store.read(last.name) == photographs[last.name]
    assert store.path(last.name) == last
    assert not s3_server.requests
    last.write_bytes(b"damaged")
    assert store.read(last.name) == photographs[last.name]
    assert last.read_bytes() == photographs[last.name]
    store.discard(last.name)
    assert not last.exists()


@pytest.mark.parametrize(
    "url",
    ["", "store", "/store", "s3:/bucket", "s3://", "s3://B", "s3://user:secret@bucket/x", "s3://bucket/../x",
     "s3://bucket//x", "s3://bucket/x?y", "s3://bucket/*", "gs://bucket", "file:", "file://host/x", "http://bucket/x"],
)  # fmt: skip
def test_invalid_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="use file:FOLDER or s3://BUCKET/PREFIX") as error:
        StoreUrl.parse(url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "root"), [("file:store", "p/store"), ("file:../my photos", "p/../my photos"), ("file:///a/b", "/a/b")]
)
def test_folder_is_relative_to_the_project(url: str, root: str) -> None:
    store = StoreUrl.parse(url).open(Path("p"), Path("cache"), 0)
    assert isinstance(store, LocalStore)
    assert store.root == Path(root)


def test_staged_photographs_are_published_once_they_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synchronised: list[tuple[str, bool]] = []

    def synchronise(path: Path) -> None:
        synchronised.append((path.name[:64], (tmp_path / HASH[:2] / HASH).exists()))

    monkeypatch.setattr("lightmeter.store.local.synchronise", synchronise)
    with LocalStore(tmp_path) as store:
        pickle.loads(pickle.dumps(store)).stage(HASH, DATA)  # by a worker process
        assert (synchronised, store.size(HASH)) == ([], None)
        store.publish([HASH, "0" * 64])
        assert store.read(HASH) == DATA
        assert synchronised[0] == (HASH, False)
        assert {(HASH[:2], True), (tmp_path.name[:64], True)} == set(synchronised[1:])
        store.publish([HASH])
        assert len(synchronised) == 3
    assert not any((tmp_path / ".incoming").iterdir())
