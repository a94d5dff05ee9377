"""Queries on photographs in memory select what they select in the catalogue."""

from typing import Any

import numpy as np

from tests.harvest.catalogue.query_photos import QUERIES, insert_photos
from tests.labels.browser.helpers import create_session, ids_of
from tests.support import run_text


def test_queries_in_memory_select_matching_photographs(any_catalogue: Any) -> None:
    names = insert_photos(any_catalogue.engine)
    session = create_session(any_catalogue.project, any_catalogue.engine)
    results = {query: " ".join(names[image] for image in ids_of(session, q=query)) for query in QUERIES}
    assert results == QUERIES


def test_sightings_match_together_and_labels_as_they_are_now(any_catalogue: Any) -> None:
    first = any_catalogue.photograph(owner="Émile", also_at="flickr")
    any_catalogue.photograph(owner="Ann")
    session = create_session(any_catalogue.project, any_catalogue.engine)
    assert ids_of(session, q="source:flickr owner:Émile") == [first]  # of two sightings
    run_text("labels", "set", "1.jpg", "medium=film", "--author", "eve")
    for value, differs in (("film", []), ("digital", [first]), ("film", [])):
        session.label("medium", np.asarray([first]), value, session.library.labels("medium").version)
        assert ids_of(session, q=f"label.medium:{value}") == [first]
        assert ids_of(session, q="conflict.medium") == differs
        assert ids_of(session, q="author.medium:ann author.medium:eve -author.medium:bob") == [first]
    session.undo()
    assert ids_of(session, q="conflict.medium") == [first]
    session.label("medium", np.asarray([first]), None, session.library.labels("medium").version)
    assert ids_of(session, q="author.medium is known") == [first]
    assert not ids_of(session, q="author.medium:ann")
    run_text("labels", "set", "1.jpg", "medium=", "--author", "eve")
    assert not ids_of(session, q="author.medium is known")


def test_spellings_of_a_photographer_are_one_value_of_the_facet(catalogue: Any) -> None:
    owners = ("José Straße", "Jose\u0301 STRASSE", "Ann", "José Straße")
    ids = [catalogue.photograph(owner=owner) for owner in owners]
    session = create_session(catalogue.project, catalogue.engine)
    column = session.library.snapshot.photographs.columns["photographer"]
    assert column.values == ["José Straße", "Ann"]
    for state in ({"selections": {"photographer": (" JOSÉ  strasse",)}}, {"q": "josé strasse"}):
        assert ids_of(session, **state) == [ids[0], ids[1], ids[3]]
