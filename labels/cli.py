"""``lightmeter labels``: decide what each photograph is an example of, and freeze data sets."""

from labels.commands import datasets, judgement, quality, rules
from lightmeter.commands import group

app = group("Decide what each photograph is an example of, and freeze data sets that do not leak.")
for commands in (rules.app, judgement.app, quality.app, datasets.app):
    app.add_typer(commands)
