"""Compare the EXIF that Lightmeter reads with ExifTool's reading of the same files, column by column.

Usage: python benchmarks/exif_reference.py FOLDER [--exiftool "perl exiftool"] [--show]

A value counts where ExifTool has it in ExifIFD, IFD0 or XMP about the file. Differences are grouped by the reasons that
docs/exif.md names; `--show` prints each, and the exit code is 1 if one has no reason or less than 99.5 % were read.
"""

import argparse
import json
import math
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightmeter.harvest.exif import parsers
from lightmeter.harvest.exif.containers import metadata_blocks
from lightmeter.harvest.exif.reader import read_exif

TAGS = {
    "make": ("Make",), "model": ("Model",), "lens": ("LensModel",), "f_number": ("FNumber",),
    "exposure_time_s": ("ExposureTime",), "iso": ("ISO",), "focal_length_mm": ("FocalLength",),
    "focal_length_35mm": ("FocalLengthIn35mmFormat",), "flash_fired": ("Flash", "FlashFired"),
    "taken_at": ("DateTimeOriginal",), "software": ("Software",), "orientation": ("Orientation",),
}  # fmt: skip
GROUPS = ("ExifIFD", "IFD0", "XMP-exif", "XMP-exifEX", "XMP-tiff", "XMP-aux")
NOT_IMAGES = {".exv", ".xmp", ".psd"}
MIN_SHARE = 0.995
RELATIVE_TOLERANCE = 1e-4
PLAUSIBLE = {
    "f_number": parsers.PLAUSIBLE_F_NUMBER_RANGE, "exposure_time_s": parsers.PLAUSIBLE_EXPOSURE_TIME_RANGE_S,
    "iso": parsers.PLAUSIBLE_ISO_RANGE, "focal_length_mm": parsers.PLAUSIBLE_FOCAL_LENGTH_RANGE_MM,
    "focal_length_35mm": parsers.PLAUSIBLE_FOCAL_LENGTH_RANGE_MM, "orientation": (1, 8),
}  # fmt: skip


def reference(folder: Path, command: list[str]) -> list[dict[str, Any]]:
    """Return ExifTool's tags of the files in a folder, numbers as it writes them."""
    options = ["-q", "-q", "-r", "-j", "-G1", "-n", "-charset", "exif=UTF8", "--ext", "txt"]
    done = subprocess.run([*command, *options, str(folder)], capture_output=True, check=False)
    rows = json.loads(done.stdout.decode("utf-8", "replace"), parse_float=str, parse_int=str)
    return [row for row in rows if Path(row["SourceFile"]).suffix.lower() not in NOT_IMAGES and not row.get("Error")]


def expected(row: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Return ExifTool's value of a column as text."""
    values = (row.get(f"{group}:{name}") for group in GROUPS for name in names)
    value = next((value for value in values if value is not None), None)
    return None if value is None else " ".join(str(value).split())


def compare(column: str, text: str, value: Any) -> str | None:
    """Return ``same``, the reason of a difference, ``different``, or None if ExifTool's value means unknown."""
    if column == "taken_at":
        return compare_dates(text, value)
    if column == "flash_fired":
        word = text.lower().split()[0]
        fired = {"true": True, "false": False}.get(word) if not word.isdecimal() else bool(int(word) & 1)
        return "same" if value == fired else "different"
    if column in PLAUSIBLE:
        return compare_numbers(column, text, value)
    return compare_texts(text, value or "")


def compare_texts(text: str, value: str) -> str:
    """Compare text, of which Lightmeter keeps 200 characters."""
    if value in (text, text[:200].strip()):
        return "same"
    if text.isdecimal():
        return "text of a numeric type"
    return "damaged" if re.search(r"[?\x00-\x1f\x7f\ufffd]", text) else "different"


def compare_numbers(column: str, text: str, value: float | None) -> str | None:
    """Compare a number; zero and undefined values mean unknown."""
    try:
        number = float(text.split(maxsplit=1)[0])
    except (ValueError, IndexError):
        return None if value is None else "same"
    if not number or not math.isfinite(number):
        return None
    if value is not None and math.isclose(value, number, rel_tol=RELATIVE_TOLERANCE):
        return "same"
    low, high = PLAUSIBLE[column]
    return "different" if low <= number <= high and number != 65535 else "implausible"


def compare_dates(text: str, value: str | None) -> str | None:
    """Compare a date and time without its offset."""
    digits = re.sub(r"\D", "", text)[:14]
    if not digits.strip("0"):
        return None
    if value is not None and re.sub(r"\D", "", value)[: len(digits)] == digits:
        return "same"
    return "different" if parsers.date_time(text) else "not a date"


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--exiftool", default="exiftool", type=shlex.split)
    parser.add_argument("--show", action="store_true", help="print each difference")
    arguments = parser.parse_args()
    counts: dict[str, Counter[str]] = {column: Counter() for column in TAGS}
    rows = reference(arguments.folder, arguments.exiftool)
    for row in rows:
        data = Path(row["SourceFile"]).read_bytes()
        values = read_exif(data).values
        has_header = next(metadata_blocks(data), None) is not None
        for column, names in TAGS.items():
            text, value = expected(row, names), getattr(values, column)
            outcome = compare(column, text, value) if text else None
            if outcome == "different" and not has_header:
                outcome = "damaged header"
            if text and outcome:
                counts[column].update([outcome, "read" if value is not None else "missing", "all"])
                if arguments.show and outcome != "same":
                    print(f"{outcome}: {column} of {row['SourceFile']}: {text[:60]!r}, read as {str(value)[:60]!r}")
    print(f"{len(rows)} files\n\n| column | ExifTool has | read | equal | differ, by reason |\n|---|---|---|---|---|")
    failed = False
    for column, count in counts.items():
        reasons = {name: number for name, number in count.items() if name not in ("all", "read", "missing", "same")}
        text = ", ".join(f"{number} {name}" for name, number in sorted(reasons.items())) or "–"
        possible = count["all"] - sum(number for name, number in reasons.items() if name != "different")
        failed |= bool(reasons.get("different")) or count["same"] < MIN_SHARE * possible
        print(f"| `{column}` | {count['all']} | {count['read']} | {count['same']} | {text} |")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
