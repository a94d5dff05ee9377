"""``lightmeter serve``: serve models with TorchServe."""

from lightmeter.serve.commands import archives, predictions, servers
from lightmeter.terminal.commands import command_group

app = command_group("Serve models with TorchServe.")
for group in (archives.app, servers.app, predictions.app):
    app.add_typer(group)
