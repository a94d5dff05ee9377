"""``lightmeter models``: train, evaluate and analyse models."""

from lightmeter.models.commands import analysis, predict, runs, search, training
from lightmeter.terminal.commands import command_group

app = command_group("Train, evaluate and analyse models.")
for module in (training, search, runs, predict, analysis):
    app.add_typer(module.app)
