"""Made-up catalogues of millions of photographs in PostgreSQL, and the time that commands take on one.

    python -m benchmarks.scale.catalogue [--photographs 10000000]

A temporary server is started and filled; ten million photographs need about 20 GB in /tmp. Each command runs in a
process of its own, whose time and largest memory are printed.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from lightmeter.harvest.catalogue.database.migrate import upgrade
from lightmeter.harvest.catalogue.database.session import engine_for, transaction

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
SELECT i, 'iso', (ARRAY['low', 'high'])[1 + i % 2], NULL, 'rule', 'lightmeter', '1', now()
FROM generate_series(1, :n) i;

SELECT setval('images_id_seq', :n);
"""


def fill(engine: Engine, photographs: int) -> None:
    """Fill an empty catalogue: a photograph with EXIF, a measure and a label for each number, and pending ones."""
    for statement in _FILL.split(";"):
        if statement.strip():
            with transaction(engine) as connection:
                connection.execute(text(statement), {"n": photographs} if ":n" in statement else {})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def size(connection: Connection) -> int:
    """Return the bytes of a database."""
    return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)


def commands() -> dict[str, list[str]]:
    """Return the commands that are measured, by name."""
    middle = f"iso = 400 and make = Canon and sha256 >= {'8' * 64}"
    return {
        "status": ["harvest", "status"],
        "list, first page": ["catalogue", "list", "--limit", "50"],
        "list by a query": ["catalogue", "list", "--where", middle, "--limit", "50"],
        "stats": ["catalogue", "stats", "--by", "camera"],
        "export 1 %": [
            "catalogue",
            "export",
            "some.csv",
            "--where",
            "exposure = 1/100",
            "--columns",
            "file,iso,label.iso",
        ],
        "apply a target to 1 %": ["labels", "apply", "shutter", "--where", "exposure = 1/100"],
        "apply a target to all": ["labels", "apply", "medium"],
        "split": ["labels", "split", "scale", "--target", "iso"],
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=10_000_000)
    args = parser.parse_args()
    from tests.postgresql import PostgresServer

    server = PostgresServer(f"lm-scale-{os.getpid()}")
    try:
        url = server.url.format(name="postgres")
        engine = engine_for(url)
        started = time.perf_counter()
        upgrade(engine)
        fill(engine, args.photographs)
        with engine.connect() as connection:
            print(f"filled in {time.perf_counter() - started:.0f} s, {size(connection) / 1e9:.1f} GB", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), url)
    finally:
        server.remove()


def measure(folder: Path, url: str) -> None:
    """Print seconds, processor time and memory of each command."""
    environment = os.environ | {"LIGHTMETER_CATALOGUE__URL": url}
    program = [sys.executable, "-m", "lightmeter"]
    subprocess.run([*program, "init", str(folder / "project"), "--quiet"], check=True, env=environment)
    for name, command in commands().items():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        result = subprocess.run(
            [*program, *command, "--json"],
            check=False,
            cwd=folder / "project",
            env=environment,
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        outcome = "" if result.returncode == 0 else f" FAILED: {result.stderr.strip()[-200:]}"
        print(json.dumps({"command": name, "seconds": round(seconds, 1), "cpu_s": round(cpu, 1)}) + outcome, flush=True)


if __name__ == "__main__":
    main()
