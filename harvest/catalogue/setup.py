"""What the catalogue adds to ``lightmeter init``."""

from lightmeter.harvest.catalogue.migrate import upgrade
from lightmeter.harvest.catalogue.session import engine_for
from lightmeter.project import Project


def prepare(project: Project) -> None:
    """Make the photo store and bring the catalogue to the newest revision."""
    project.store.mkdir(parents=True, exist_ok=True)
    engine = engine_for(project.catalogue_url)
    upgrade(engine)
    engine.dispose()
