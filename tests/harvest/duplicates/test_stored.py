"""Groups of near-duplicates in the catalogue, while photographs come, change and go."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, select

from lightmeter.harvest.catalogue.database.migrate import upgrade
from lightmeter.harvest.catalogue.database.rows import insert_rows
from lightmeter.harvest.catalogue.database.session import engine_for
from lightmeter.harvest.catalogue.models import DuplicateGroup, Image, Inspection
from lightmeter.harvest.duplicates import stored
from lightmeter.harvest.duplicates.stored import update_groups
from lightmeter.images.hamming import Hashes, Indices, group_by_hamming_radius

_RADIUS = 4

changes = st.lists(
    st.dictionaries(st.integers(1, 40), st.one_of(st.none(), st.integers(0, 255)), max_size=30), max_size=4
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = engine_for(f"sqlite:///{tmp_path_factory.mktemp('groups') / 'catalogue.sqlite'}")
    upgrade(engine)
    return engine


def change(engine: Engine, hashes: dict[int, int | None]) -> None:
    """Store images with a hash by their ids, and remove those without as `catalogue remove` does."""
    removed = [image_id for image_id, value in hashes.items() if value is None]
    stored_ids = select(DuplicateGroup.group_id).where(DuplicateGroup.image_id.in_(removed))
    kept = {image_id: value for image_id, value in hashes.items() if value is not None}
    with engine.begin() as connection:
        connection.execute(delete(DuplicateGroup).where(DuplicateGroup.group_id.in_(stored_ids)))
        connection.execute(delete(Inspection).where(Inspection.image_id.in_(hashes)))
        connection.execute(delete(Image).where(Image.id.in_(removed)))
        values = {"format": "JPEG", "width": 1, "height": 1, "file_size": 1}
        new = kept.keys() - set(connection.scalars(select(Image.id)))
        insert_rows(connection, Image, [{"id": number, "sha256": f"{number:064}", **values} for number in sorted(new)])
        inspection = {"filter": "duplicates", "version": 1, "verdict": "kept"}
        rows = [
            {"image_id": image_id, "measures": {"phash": digits(value)}, **inspection}
            for image_id, value in kept.items()
        ]
        insert_rows(connection, Inspection, rows)


def digits(value: int) -> str:
    """Return a hash; those of near even numbers are near, those of odd ones far."""
    return f"{value * 0x0101010101010101 if value % 2 else value:016x}"


def groups(engine: Engine) -> dict[int, int]:
    query = select(DuplicateGroup.image_id, DuplicateGroup.group_id).where(DuplicateGroup.radius == _RADIUS)
    with engine.connect() as connection:
        return dict(connection.execute(query).all())


def expected(engine: Engine) -> dict[int, int]:
    query = select(Inspection.image_id, Inspection.measures).order_by(Inspection.image_id)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    ids = [image_id for image_id, _ in rows]
    labels = group_by_hamming_radius(np.array([int(m["phash"], 16) for _, m in rows], np.uint64), _RADIUS)
    return {image_id: ids[label] for image_id, label in zip(ids, labels, strict=True)}


@given(changes, st.sampled_from((0.0, 0.1, 1.0)))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_stored_groups_are_those_of_all_photographs(
    engine: Engine, steps: list[dict[int, int | None]], max_new: float
) -> None:
    change(engine, dict.fromkeys(range(1, 41)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "_MAX_NEW", max_new)
        for step in steps:
            change(engine, step)
            update_groups(engine, _RADIUS, group_by_hamming_radius)
            assert groups(engine) == expected(engine)
            assert update_groups(engine, _RADIUS, group_by_hamming_radius) == 0


def test_only_new_photographs_and_broken_groups_are_grouped(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_MAX_NEW", 1.0)
    change(engine, dict.fromkeys(range(1, 41)))
    change(engine, {number: 2 * number for number in range(1, 41)})
    assert update_groups(engine, _RADIUS, group_by_hamming_radius) == 40
    others = {number: group for number, group in groups(engine).items() if number != group}
    assert others
    change(engine, {1000: 255})
    assert update_groups(engine, _RADIUS, group_by_hamming_radius) == 1
    lost = next(iter(others.values()))
    size = sum(group == lost for group in groups(engine).values())
    change(engine, {lost: 201})
    assert update_groups(engine, _RADIUS, group_by_hamming_radius) == size
    assert groups(engine) == expected(engine)
    change(engine, {1000: None})


@pytest.mark.parametrize("other", [{7: 3, 8: 5}, {1: None}, {5: 1, 1: 255}])
def test_what_another_process_changes_meanwhile_is_not_overwritten(
    engine: Engine, other: dict[int, int | None]
) -> None:
    change(engine, dict.fromkeys(range(1, 41)))
    change(engine, {1: 1, 2: 3, 3: 5})
    update_groups(engine, _RADIUS, group_by_hamming_radius)
    change(engine, {number: number for number in range(4, 30)})

    def grouping(hashes: Hashes, radius: int) -> Indices:
        if calls.append(1) or len(calls) == 1:
            change(engine, other)
            update_groups(engine, radius, group_by_hamming_radius)
        return group_by_hamming_radius(hashes, radius)

    calls: list[int] = []
    update_groups(engine, _RADIUS, grouping)
    assert groups(engine) == expected(engine)


def test_photograph_that_is_removed_before_it_is_stored_is_left_out(engine: Engine) -> None:
    change(engine, dict.fromkeys(range(1, 41)))
    change(engine, {1: 1, 2: 3, 3: 5})

    def grouping(hashes: Hashes, radius: int) -> Indices:
        change(engine, {2: None})
        return group_by_hamming_radius(hashes, radius)

    update_groups(engine, _RADIUS, grouping)
    assert groups(engine) == expected(engine)
    assert 2 not in groups(engine)
