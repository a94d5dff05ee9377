"""``lightmeter models``: learn to tell how a photograph was made, and look into what was learned."""

from lightmeter.commands import command_group
from lightmeter.models.commands import analysis as studies
from lightmeter.models.commands import predict as answers
from lightmeter.models.commands import search as searching
from lightmeter.models.commands import training

app = command_group("Learn to tell how a photograph was made.")
for commands in (training.app, searching.app, answers.app, studies.app):
    app.add_typer(commands)
