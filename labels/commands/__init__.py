"""``lightmeter labels``: label photographs and build leakage-free data sets."""

from lightmeter.commands import command_group
from lightmeter.labels.commands import annotations, browse, datasets, quality, targets

app = command_group("Label photographs and build leakage-free data sets.")
for group in (targets.app, annotations.app, browse.review_app, quality.app, datasets.app):
    app.add_typer(group)
