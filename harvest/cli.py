"""``lightmeter harvest``: find photographs, fetch them, look at them."""

from harvest.commands import crawling, looking
from lightmeter.commands import group

app = group("Find photographs, fetch them byte for byte, look at them.")
for commands in (crawling.app, looking.app):
    app.add_typer(commands)
