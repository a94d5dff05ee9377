"""``lightmeter labels``: decide what each photograph is an example of, and freeze data sets."""

from lightmeter.commands import command_group
from lightmeter.labels.commands import annotations as judgement
from lightmeter.labels.commands import datasets, quality
from lightmeter.labels.commands import targets as rules

app = command_group("Decide what each photograph is an example of, and freeze data sets that do not leak.")
for commands in (rules.app, judgement.app, quality.app, datasets.app):
    app.add_typer(commands)
