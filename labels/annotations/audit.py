"""Auditing labels: contradictions, near-identical pictures with different labels, and labels that a model doubts."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine

from lightmeter.harvest.catalogue.models import Label
from lightmeter.labels.annotations import model as statements
from lightmeter.labels.annotations.label_issues import Doubts
from lightmeter.labels.annotations.model import Annotation
from lightmeter.labels.annotations.photo_facts import id_ranges
from lightmeter.labels.annotations.rules import decisions
from lightmeter.labels.datasets.collect import LabelledPhotos, collect
from lightmeter.labels.datasets.groups import near_duplicates
from lightmeter.labels.targets.base import Target

_SETTINGS = ("make", "model", "f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm")
_MOST_SETTINGS_MISSING = 2


@dataclass
class Suspect:
    """A photograph whose label may be wrong.

    Attributes:
        label: the class that counts.
        reasons: why it is suspected, in words.
        doubt: 1 − the probability that a model gives to the label, where a model was asked.
    """

    image_id: int
    sha256: str
    label: str
    reasons: list[str] = field(default_factory=list)
    doubt: float | None = None


def audit(engine: Engine, target: Target[Any], doubts: Doubts, where: str = "") -> list[Suspect]:
    """Return the suspects, those with the most reasons first.

    Args:
        engine: of the catalogue.
        target: whose labels are audited.
        doubts: how much a model doubts labels; those that have changed since do not count.
        where: a query that chooses photographs; empty for all.
    """
    with engine.connect() as connection:
        gathered = collect(connection, [target], where)
        reasons = _Reasons()
        for found in (
            _different_words(connection, target, where),
            _film_with_settings(gathered, target),
            _same_settings(gathered, target),
            _same_picture(gathered, target),
        ):
            reasons.take(found)
    suspects = []
    for sha256, image, label in zip(
        gathered.column("sha256"), gathered.column("image_id"), gathered.labels(target), strict=True
    ):
        why, doubt = reasons.of(image), doubts.get((sha256, str(label)))
        if doubt is not None:
            why.append(f"a model doubts it ({100 * doubt:.0f} % against)")
        if why:
            suspects.append(Suspect(image, sha256, str(label), why, doubt))
    return sorted(suspects, key=lambda one: (-len(one.reasons), -(one.doubt or 0.0), one.image_id))


class _Reasons:
    def __init__(self) -> None:
        self._by_image: defaultdict[int, list[str]] = defaultdict(list)

    def take(self, found: Iterator[tuple[int, str]]) -> None:
        for image, reason in found:
            self._by_image[image].append(reason)

    def of(self, image: int) -> list[str]:
        return list(self._by_image.get(image, ()))


def _different_words(connection: Connection, target: Target[Any], where: str) -> Iterator[tuple[int, str]]:
    """Yield photographs of which hand, import and rule say different things, by what they say now."""
    for span in id_ranges(connection, where):
        said: defaultdict[int, dict[tuple[str, str], Annotation]] = defaultdict(dict)
        for one in statements.read(connection, span.covers(Label.image_id), [target.name]):
            said[one.image_id][one.origin, one.author] = one
        rule = {known.image_id: decision.value for known, _, decision in decisions(connection, span, [target])}
        for image, words in said.items():
            values = {key: str(one.value) for key, one in words.items() if one.value and one.origin != "rule"}
            if rule.get(image):
                values["rule", ""] = str(rule[image])
            if len(set(values.values())) > 1:
                yield image, f"contradiction ({_told(values)})"


def _told(values: Mapping[tuple[str, str], str]) -> str:
    return ", ".join(f"{' '.join(who).strip()}: {value}" for who, value in sorted(values.items()))


def _film_with_settings(gathered: LabelledPhotos, target: Target[Any]) -> Iterator[tuple[int, str]]:
    """Yield film photographs whose EXIF knows the exposure: scanners do not, digital cameras do."""
    scanned = getattr(target.definition, "scanned_class", None)
    times = gathered.column("exposure_time_s")
    for image, value, seconds in zip(gathered.column("image_id"), gathered.labels(target), times, strict=True):
        if scanned is not None and value == scanned and seconds is not None:
            yield image, f"{scanned} with an exposure of {seconds:.4g} s in EXIF"


def _same_settings(gathered: LabelledPhotos, target: Target[Any]) -> Iterator[tuple[int, str]]:
    """Yield photographs that one photographer took with identical settings and that have different labels."""
    columns = {name: gathered.column(name) for name in _SETTINGS}
    owners_of = gathered.column("owners")

    def key(index: int) -> tuple[Any, ...] | None:
        settings = tuple(columns[name][index] for name in _SETTINGS)
        owners = owners_of[index]
        known = owners and settings.count(None) <= _MOST_SETTINGS_MISSING
        return (owners[0], *settings) if known else None

    yield from _different(gathered, target, [key(index) for index in range(len(gathered))], "identical settings")


def _same_picture(gathered: LabelledPhotos, target: Target[Any]) -> Iterator[tuple[int, str]]:
    """Yield near-identical pictures with different labels."""
    rows, groups = near_duplicates(gathered.table["phash"])
    alike = dict(zip(rows.tolist(), groups.tolist(), strict=True))
    yield from _different(
        gathered, target, [alike.get(index) for index in range(len(gathered))], "near-identical picture"
    )


def _different(
    gathered: LabelledPhotos, target: Target[Any], key_of: Sequence[Any], what: str
) -> Iterator[tuple[int, str]]:
    """Yield the members of each group whose labels differ, the groups being those with the same key."""
    members: defaultdict[Any, list[int]] = defaultdict(list)
    for index, key in enumerate(key_of):
        if key is not None:
            members[key].append(index)
    values, hashes, images = gathered.labels(target), gathered.column("sha256"), gathered.column("image_id")
    for group in members.values():
        for index in group if len({values[one] for one in group}) > 1 else ():
            other = next(one for one in group if values[one] != values[index])
            yield images[index], f"{what} is {values[other]} ({hashes[other][:12]})"
