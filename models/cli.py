"""``lightmeter models``: learn to tell how a photograph was made, and look into what was learned."""

from lightmeter.commands import group
from models.commands import answers, searching, studies, training

app = group("Learn to tell how a photograph was made.")
for commands in (training.app, searching.app, answers.app, studies.app):
    app.add_typer(commands)
