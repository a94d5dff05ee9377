"""What ``lightmeter doctor`` reports of catalogue, photo store and sources."""

from collections.abc import Iterator

from lightmeter.doctor import Check
from lightmeter.errors import LightmeterError
from lightmeter.harvest.catalogue.session import open_catalogue
from lightmeter.harvest.sources.listing import list_sources
from lightmeter.project import Project


def checks(project: Project | None) -> Iterator[Check]:
    """Yield the floor's checks."""
    if project is not None:
        yield _catalogue(project)
        yield _store(project)
        yield _contact(project)
    for row in list_sources():
        if row["missing_keys"]:
            names = " and ".join(row["missing_keys"])
            yield Check(
                f"source: {row['name']}",
                "missing",
                "no key",
                f"set {names}; see docs/sources/{row['name']}.md",
            )


def _catalogue(project: Project) -> Check:
    try:
        engine = open_catalogue(project)
    except LightmeterError as error:
        return Check("catalogue", "broken", str(error))
    return Check("catalogue", "fine", engine.url.render_as_string(hide_password=True))


def _store(project: Project) -> Check:
    if project.store.is_dir():
        return Check("photo store", "fine", str(project.store))
    return Check("photo store", "broken", f"{project.store} is not there", "run 'lightmeter init' in the project again")


def _contact(project: Project) -> Check:
    contact = project.settings.crawl.contact
    if contact:
        return Check("contact", "fine", contact)
    return Check(
        "contact",
        "missing",
        "none",
        "set contact under [crawl]: people whose sites you crawl shall reach you",
    )
