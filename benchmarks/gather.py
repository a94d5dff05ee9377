"""Write the photographs of the research corpus out of git mirrors of the repositories that hold them.

    python -m benchmarks.gather MIRRORS CORPUS

MIRRORS holds a bare clone of each repository, in ``OWNER+NAME`` (or ``OWNER+NAME/repo``, or with a work tree). CORPUS
gets ``SPLIT/MEDIUM/PHOTOGRAPHER/BLOB.jpg`` for each row of ``corpus_list.csv``: ``development`` for training and
cross-validation, ``lockbox`` for the figures of a release. Photographs that exist are not written again. Most of them
carry no licence: they serve to measure on this machine and must not be published.
"""

import argparse
import csv
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from lightmeter.files import write_atomic

LIST = Path(__file__).with_name("corpus_list.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mirrors", type=Path, help="folder of git mirrors")
    parser.add_argument("corpus", type=Path, help="folder to write")
    options = parser.parse_args()
    files_by_repository: dict[str, dict[str, Path]] = defaultdict(dict)
    for row in read_list():
        file = options.corpus / row["split"] / row["medium"] / row["photographer"] / f"{row['blob'][:16]}.jpg"
        if not file.exists():
            files_by_repository[row["repository"]][row["blob"]] = file
    for repository, files in files_by_repository.items():
        git = git_folder(options.mirrors, repository)
        if git is None:
            print(f"{repository}: no mirror; {len(files)} photographs are missing")
            continue
        written = 0
        for blob, content in read_blobs(git, files):
            write_atomic(files[blob], content)
            written += 1
        print(f"{repository}: {written} of {len(files)} photographs written")


def read_list() -> list[dict[str, str]]:
    """Return the rows of the list of photographs."""
    with LIST.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def git_folder(mirrors: Path, repository: str) -> Path | None:
    """Return the git folder of a repository's mirror."""
    home = mirrors / repository.replace("/", "+")
    candidates = (home, home / ".git", home / "repo", home / "repo" / ".git")
    return next((folder for folder in candidates if (folder / "HEAD").exists()), None)


def read_blobs(git: Path, blobs: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the content of blobs; those that the mirror lacks are left out."""
    command = ["git", f"--git-dir={git}", "cat-file", "--batch"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for blob in blobs:
            process.stdin.write(f"{blob}\n".encode())
            process.stdin.flush()
            header = process.stdout.readline().split()
            if header[-1] == b"missing":
                continue
            yield blob, process.stdout.read(int(header[2]))
            process.stdout.read(1)
        process.stdin.close()


if __name__ == "__main__":
    main()
