"""``lightmeter labels``: label photographs and build leakage-free data sets."""

from lightmeter.commands import command_group
from lightmeter.labels.commands import annotations, datasets, quality, targets

app = command_group("Label photographs and build leakage-free data sets.")
for module in (targets, annotations, quality, datasets):
    app.add_typer(module.app)
