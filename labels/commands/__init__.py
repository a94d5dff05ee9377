"""``lightmeter labels``: label photographs and build leakage-free data sets."""

from lightmeter.labels.commands import annotations, browse, datasets, published, quality, splitting, targets
from lightmeter.terminal.commands import command_group

app = command_group("Label photographs and build leakage-free data sets.")
for group in (targets.app, annotations.app, browse.review_app, quality.app, splitting.app, datasets.app, published.app):
    app.add_typer(group)
