"""``python -m lightmeter``: the same as the ``lightmeter`` command."""

from lightmeter.cli import run

run()
