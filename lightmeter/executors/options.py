"""Options of commands that can run on a cluster."""

from typing import Annotated, Literal

import typer

from lightmeter.errors import UsageError

ExecutorName = Literal["local", "ray"]
ExecutorOption = Annotated[
    ExecutorName, typer.Option("--executor", help="Where the work runs: this machine or a Ray cluster (extra ray).")
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Address of the Ray cluster, HOST:PORT.", show_default="RAY_ADDRESS, or a cluster on this machine"
    ),
]


def check_address(executor: ExecutorName, address: str | None) -> None:
    """Check that an address is given for a cluster only.

    Raises:
        UsageError: It is given for this machine.
    """
    if address is not None and executor != "ray":
        raise UsageError("--address is that of a Ray cluster; add --executor ray.")
