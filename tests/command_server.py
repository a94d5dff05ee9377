"""A process that has imported the commands and forks a process for each one, as imports take most of their time.

It reads one JSON object a line, a `tests.support.ForkRequest`, and answers with the exit code.
"""

import gc
import importlib
import json
import os
import sys

from lightmeter import plugins
from lightmeter.cli import main

MODULES = (
    *(
        f"lightmeter.harvest.{name}"
        for name in ("commands.catalogue", "commands.inspect", "crawl.runs", "catalogue.export")
    ),
    *(f"scrapy.{name}" for name in ("core.downloader.handlers.http11", "core.scheduler", "pqueues", "squeues")),
    "rich.progress",
)


def serve() -> None:
    """Answer requests until the standard input is closed."""
    for module in MODULES:
        importlib.import_module(module)
    for source in plugins.installed("sources").values():
        source.load()
    gc.freeze()  # the collector of a forked process would copy all of this
    for line in sys.stdin:
        process = os.fork()
        if not process:
            os._exit(run(**json.loads(line)))  # sys.exit would free all objects, and copy their pages first
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


def run(args: list[str], folder: str, environment: dict[str, str], output: str, error: str) -> int:
    """Run a command with its standard output and error in files."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for name, standard in ((os.devnull, sys.stdin), (output, sys.stdout), (error, sys.stderr)):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), standard.fileno())
    code = main(args)
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve()
