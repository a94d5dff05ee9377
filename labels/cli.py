"""``lightmeter labels``: decide what each photograph is an example of, and freeze data sets."""

import typer

from labels.commands import datasets, judgement, rules
from lightmeter.console import EVERYWHERE

app = typer.Typer(
    help="Decide what each photograph is an example of, and freeze data sets that do not leak.",
    no_args_is_help=True,
    epilog=EVERYWHERE,
)
for commands in (rules.app, judgement.app, datasets.app):
    app.add_typer(commands)
