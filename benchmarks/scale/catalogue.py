"""Made-up catalogues of millions of photographs in PostgreSQL, and the time that commands take on one.

    python -m benchmarks.scale.catalogue [--photographs 10000000] [--keep FOLDER] [--only NAME]

A temporary server is started and filled; ten million photographs need about 14 GB in /tmp. With --keep the server's
data stay in a folder (its path must be short), and are measured again, without filling, if it exists. Each command runs
in a process of its own. Printed are its elapsed time, the processor time of the command and of the server, the
command's largest memory, and how many rows the server read through indexes and sequentially. --only measures some of
the commands; "browse" is the page of ``lightmeter browse``, with its memory after its start and after each request.
"""

import argparse
import http.client
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import Connection, Engine, text

from lightmeter.harvest.catalogue.database.migrate import upgrade
from lightmeter.harvest.catalogue.database.session import engine_for, transaction
from tests.postgresql import PostgresServer

_STATISTICS_S = 1.5  # until the server's counters have those of ended sessions

_FILL = """
INSERT INTO runs (source, query, options, state, new, existing, started_at)
VALUES ('urls', '{}', '{"require": []}', 'finished', 0, 0, now()),
       ('urls', '{}', '{"require": []}', 'discovered', 0, 0, now());

INSERT INTO images (id, sha256, format, width, height, file_size, problem, body, quantisation, stored_at)
SELECT i, encode(sha256(i::text::bytea), 'hex'), 'JPEG', 1024, 768, 200000 + i % 90000,
       CASE WHEN i % 1000 = 0 THEN 'truncated' END, md5((i / 40)::text), substr(md5((i % 50)::text), 1, 16), now()
FROM generate_series(1, :n) i;

INSERT INTO sightings (run_id, source, source_id, media_url, page_url, file, owner, licence, tags, medium, state,
                       reason, host, attempts, image_id, found_at, changed_at)
SELECT 1, 'urls', i::text, 'https://h' || i % 500 || '.example.org/' || i || '.jpg', 'https://example.org/' || i,
       i || '.jpg', 'owner ' || i / 50, CASE i % 3 WHEN 0 THEN 'CC0-1.0' WHEN 1 THEN 'CC-BY-4.0' END, '["street"]',
       CASE WHEN i % 20 = 0 THEN 'film' ELSE 'digital' END, 'fetched', NULL, 'h' || i % 500 || '.example.org', 1, i,
       now(), now()
FROM generate_series(1, :n) i;

INSERT INTO sightings (run_id, source, source_id, media_url, state, reason, host, attempts, found_at, changed_at)
SELECT 2, 'urls', 'more ' || i, 'https://h' || i % 500 || '.example.org/more/' || i || '.jpg',
       CASE i % 4 WHEN 0 THEN 'found' WHEN 1 THEN 'gone' WHEN 2 THEN 'failed' ELSE 'skipped' END,
       CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN 'HTTP 404' WHEN 2 THEN 'HTTP 503' ELSE 'no EXIF: iso' END,
       'h' || i % 500 || '.example.org', 1, now(), now()
FROM generate_series(1, :n / 20) i;

INSERT INTO exif (image_id, origin, raw, make, model, f_number, exposure_time_s, iso, focal_length_mm, taken_at)
SELECT i, 'file', '{}', 'Canon', 'EOS ' || i % 40, (ARRAY[1.4, 2, 2.8, 4, 5.6, 8, 11])[1 + i % 7], 1.0 / (1 + i % 1000),
       (ARRAY[100, 200, 400, 800, 1600, 3200])[1 + i % 6], 18 + i % 180, '2020-01-01T00:00:00'
FROM generate_series(1, :n) i;

INSERT INTO inspections (image_id, filter, version, verdict, reason, measures)
SELECT i, 'duplicates', 1, 'pass', NULL, json_build_object('phash', substr(md5(i::text), 1, 16))
FROM generate_series(1, :n) i;

INSERT INTO labels (image_id, target, value, number, origin, author, version, created_at)
SELECT i, 'iso', (ARRAY['100', '200', '400', '800', '1600', '3200'])[1 + i % 6], i % 6, 'rule', 'lightmeter', '1', now()
FROM generate_series(1, :n) i;

SELECT setval('images_id_seq', :n);
"""


def fill(
    engine: Engine, photographs: int, on_progress: Callable[[str, float], object] = lambda _table, _seconds: None
) -> None:
    """Fill an empty catalogue: a photograph with EXIF, a measure and a label for each number, and pending ones.

    Args:
        engine: Engine of the catalogue.
        photographs: Number of photographs.
        on_progress: Called after each statement with the table and the seconds that it took.
    """
    for statement in _FILL.split(";"):
        if statement.strip():
            started = time.perf_counter()
            with transaction(engine) as connection:
                connection.execute(text("SET LOCAL session_replication_role = replica"))  # rows need no checks
                connection.execute(text(statement), {"n": photographs} if ":n" in statement else {})
            on_progress(" ".join(statement.split()[:3]), time.perf_counter() - started)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def size(connection: Connection) -> int:
    """Return the bytes of a database."""
    return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)


def commands() -> dict[str, list[str]]:
    """Return the commands that are measured, by name."""
    middle = f"iso = 400 and make = Canon and sha256 >= {'8' * 64}"
    one_percent = ["--where", "exposure = 1/100"]
    return {
        "status": ["harvest", "status"],
        "list, first page": ["catalogue", "list", "--limit", "50"],
        "list by a query": ["catalogue", "list", "--where", middle, "--limit", "50"],
        "show": ["catalogue", "show", "500.jpg"],
        "export 1 %": ["catalogue", "export", "some.csv", *one_percent, "--columns", "file,iso,label.iso"],
        "export all": ["catalogue", "export", "all.parquet", "--columns", "file,iso,label.iso"],
        "stats by camera": ["catalogue", "stats", "--by", "camera"],
        "apply a target to 1 %": ["labels", "apply", "shutter", *one_percent],
        "apply a target to all": ["labels", "apply", "medium"],
        "split": ["labels", "split", "scale", "--target", "iso"],
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=10_000_000)
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", choices=[*commands(), "browse"], metavar="COMMAND")
    args = parser.parse_args()
    is_filled = args.keep is not None and args.keep.exists()
    server = PostgresServer(str(args.keep.resolve()) if args.keep else f"lm-scale-{os.getpid()}")
    try:
        url = server.url.format(name="postgres")
        if not is_filled:
            create(url, args.photographs)
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), url, server, args.only or [*commands(), "browse"])
    finally:
        if args.keep:
            server.stop("fast")
        else:
            server.remove()


def create(url: str, photographs: int) -> None:
    """Create a catalogue in an empty database and fill it."""
    engine, started = engine_for(url), time.perf_counter()
    upgrade(engine)
    fill(engine, photographs, lambda statement, seconds: print(f"{statement}: {seconds:.0f} s", flush=True))
    with engine.connect() as connection:
        print(f"filled in {time.perf_counter() - started:.0f} s, {size(connection) / 1e9:.1f} GB", flush=True)
    engine.dispose()


def measure(folder: Path, url: str, server: PostgresServer, names: Collection[str]) -> None:
    """Print time, memory and rows read of commands."""
    environment = os.environ | {"LIGHTMETER_CATALOGUE__URL": url}
    program = [sys.executable, "-m", "lightmeter"]
    subprocess.run([*program, "init", str(folder / "project"), "--quiet"], check=True, env=environment)
    engine = engine_for(url)
    for name, command in commands().items():
        if name not in names:
            continue
        busy, read, started = server.processor_time(), _rows_read(engine), time.perf_counter()
        with (folder / "output").open("w+") as output:
            process = subprocess.Popen(
                [*program, *command, "--json"], cwd=folder / "project", env=environment, stdout=output, stderr=output
            )
            _, status, usage = os.wait4(process.pid, 0)
            output.seek(0)
            failed = f" FAILED: {output.read()[-200:]}" if status else ""
        seconds = time.perf_counter() - started
        rows = [after - before for after, before in zip(_rows_read(engine), read, strict=True)]
        figures = {
            "seconds": round(seconds, 1),
            "client_cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
            "server_cpu_s": round(server.processor_time() - busy, 1),
            "memory_mb": usage.ru_maxrss // 1024,
            "rows_by_index": rows[0],
            "rows_sequentially": rows[1],
        }
        print(json.dumps({"command": name, **figures}) + failed, flush=True)
    engine.dispose()
    if "browse" in names:
        measure_browser(folder, environment)


def measure_browser(folder: Path, environment: dict[str, str]) -> None:
    """Print time and memory of ``labels browse``: its start, and requests of its page."""
    command = [sys.executable, "-m", "lightmeter", "browse", "--author", "ann", "--no-open", "--port", "0", "--json"]
    started = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder / "project", env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        document = json.loads("".join(itertools.takewhile(lambda line: not line.startswith("}"), lines)) + "}")
        page = urlsplit(document["url"])
        connection = http.client.HTTPConnection("127.0.0.1", page.port or 0)
        cookie = f"lightmeter-browser-{page.port}={dict(parse_qsl(page.query))['token']}"

        def send(name: str, path: str, message: dict[str, Any] | None = None) -> dict[str, Any]:
            before, busy = time.perf_counter(), _processor_time(process.pid)
            body = None if message is None else json.dumps(message)
            headers = {"Cookie": cookie, "Content-Type": "application/json"}
            connection.request("POST" if body else "GET", path, body, headers)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            _print_browser(process.pid, name, time.perf_counter() - before, _processor_time(process.pid) - busy)
            return answer

        _print_browser(process.pid, "start", time.perf_counter() - started, _processor_time(process.pid))
        send("first page", "/api/view?fresh=1")
        view = send("first page with labels", "/api/view?target=medium&fresh=1")
        send("a camera", "/api/view?target=medium&fresh=1&camera=Canon+EOS+3")
        send("a query with two conditions", "/api/view?target=medium&fresh=1&q=f:2.8-4+iso:100-400")
        send("search for words", "/api/view?target=medium&fresh=1&q=owner+77")
        label = {"edit": "1", "view": view["view"], "since": view["version"], "ranges": [[0, 0]], "value": "film"}
        send("label one photograph", "/api/label", label)
        send("undo", "/api/undo", {"edit": "2", "view": view["view"], "since": 2**62})
        process.terminate()


def _print_browser(pid: int, name: str, seconds: float, busy: float) -> None:
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    memory = {
        key: int(lines[field].split()[0]) // 1024 for key, field in (("memory_mb", "VmRSS"), ("peak_mb", "VmHWM"))
    }
    figures = {"seconds": round(seconds, 2), "cpu_s": round(busy, 2), **memory}
    print(json.dumps({"browse": name, **figures}), flush=True)


def _processor_time(pid: int) -> float:
    """Return the processor time, in seconds, of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rows_read(engine: Engine) -> tuple[int, int]:
    """Return how many rows of all tables were read through indexes, and sequentially."""
    time.sleep(_STATISTICS_S)
    with engine.connect() as connection:
        query = "SELECT sum(idx_tup_fetch), sum(seq_tup_read) FROM pg_stat_user_tables"
        by_index, sequentially = connection.execute(text(query)).one()
    return int(by_index or 0), int(sequentially or 0)


if __name__ == "__main__":
    main()
