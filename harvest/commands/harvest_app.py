"""``lightmeter harvest``: find photographs, fetch them, look at them."""

from lightmeter.commands import command_group
from lightmeter.harvest.commands import harvest as crawling
from lightmeter.harvest.commands import inspect as looking

app = command_group("Find photographs, fetch them byte for byte, look at them.")
for commands in (crawling.app, looking.app):
    app.add_typer(commands)
