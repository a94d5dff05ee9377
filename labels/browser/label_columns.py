"""The labels of one target as columns in memory, kept current from the append-only log of annotations."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from lightmeter.harvest.catalogue.effective_labels import LABEL_PRECEDENCE, MANUAL
from lightmeter.harvest.catalogue.exif_view import read_table
from lightmeter.harvest.catalogue.models import Label
from lightmeter.labels.browser.columns import Codes, Column, Photographs
from lightmeter.text.names import common_spellings

Rows = NDArray[np.int64]

_COLUMNS = (Label.image_id, Label.value, Label.origin, Label.author, Label.id)
_TYPES = {"image_id": pa.int64(), "id": pa.int64()}
_SCHEMA = pa.schema([(column.key, _TYPES.get(column.key, pa.string())) for column in _COLUMNS])
_BATCH = 10_000  # images of a query that names them
_RANGE = 100_000  # photographs of a query of all
_NO_ORIGIN = len(LABEL_PRECEDENCE)
_MANUAL = LABEL_PRECEDENCE.index(MANUAL)
_IMPORT = LABEL_PRECEDENCE.index("import")


class LabelColumns:
    """Labels of one target for one author.

    The author's own manual labels and the effective ones of everybody else are kept apart, so that labelling many
    photographs, and undoing it, needs no query.

    Args:
        photographs: The photographs.
        target: Name of the target.
        author: The annotator.
        previous: Labels of the same target, whose codes are kept.
        own_only: Whether only the author's own labels count.

    Attributes:
        values: Values by code.
        codes: Code of the effective label of each photograph, -1 without one.
        origins: Index of its origin in `LABEL_PRECEDENCE`.
        own: Code of the author's manual label, -1 without one.
        changed: Id of the newest annotation of each photograph, 0 without one.
        version: Id of the newest annotation that was read.
    """

    def __init__(
        self,
        photographs: Photographs,
        target: str,
        author: str,
        previous: "LabelColumns | None" = None,
        *,
        own_only: bool = False,
    ) -> None:
        n = len(photographs.ids)
        self._photographs, self._target, self._author, self._own_only = photographs, target, author, own_only
        self.values: list[str] = [*previous.values] if previous else []
        self._code_of = {value: code for code, value in enumerate(self.values)}
        self.codes, self.own = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
        self.origins = np.full(n, _NO_ORIGIN, np.int8)
        self.changed = np.zeros(n, np.int64)
        self._own_id, self._other_id = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self._other, self._other_origin = self.codes.copy(), self.origins.copy()
        self._people = np.zeros((3, 0), np.int64)  # row, author and code of the labels of people, except the own ones
        self._authors: dict[str, int] = {author: 0}
        self.version = 0

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Whether a person has labelled each photograph: here, or in a file that was imported."""
        return self.origins <= _IMPORT

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Whether a person has labelled each photograph manually."""
        judged: NDArray[np.bool_] = self.origins == _MANUAL
        return judged

    def column(self) -> Column:
        """Return the effective labels as a column; names with one key are one value, spelled as most often."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.values)).tolist()
        spellings = common_spellings(dict(zip(self.values, counts, strict=True)))
        values = list(dict.fromkeys(spellings[value] for value in self.values))
        codes = self.codes
        if len(values) < len(self.values):
            codes = np.array([*(values.index(spellings[value]) for value in self.values), -1], np.int32)[codes]
        return Column("Label", values, [value.replace("|", ", ") for value in values], codes)

    def label(self, row: int) -> tuple[str | None, str | None]:
        """Return the effective label of a photograph and its origin."""
        code = int(self.codes[row])
        return (None, None) if code < 0 else (self.values[code], LABEL_PRECEDENCE[self.origins[row]])

    def authors(self) -> tuple[Rows, Rows, list[str]]:
        """Return the row of each label of a person, the code of its author, and the authors by code."""
        own = np.flatnonzero(self.own >= 0)
        rows, authors, _ = self._people
        return np.r_[rows, own], np.r_[authors, np.zeros(len(own), np.int64)], [*self._authors]

    def disagreements(self) -> NDArray[np.bool_]:
        """Return the photographs to which people gave different labels."""
        rows, _, codes = self._people
        lowest, highest = np.where(self.own < 0, len(self.values), self.own), self.own.copy()
        np.minimum.at(lowest, rows, codes)
        np.maximum.at(highest, rows, codes)
        different: NDArray[np.bool_] = highest > lowest
        return different

    def refresh(self, connection: Connection) -> None:
        """Read the annotations that were added since the last call, by this process and others."""
        newest = connection.scalar(select(func.max(Label.id))) or 0
        if newest <= self.version:
            return
        query = select(*_COLUMNS).where(Label.target == self._target)
        if self.version:
            added = select(Label.image_id, Label.target).where(Label.id > self.version)  # by id: the log is short
            images = list({image for image, target in connection.execute(added) if target == self._target})
            batches = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
            conditions = [Label.image_id.in_(batch) for batch in batches]
        else:
            ids = self._photographs.ids
            ranges = (ids[start : start + _RANGE] for start in range(0, len(ids), _RANGE))
            conditions = [Label.image_id.between(int(part[0]), int(part[-1])) for part in ranges]
        self.version = newest
        for condition in conditions:
            self._resolve(read_table(connection, query.where(condition), _SCHEMA))

    def set_own(self, rows: Rows, codes: Codes, version: int) -> None:
        """Take over labels of the author that were just stored.

        Args:
            rows: Rows of the photographs.
            codes: Code of each label, -1 for a removed one.
            version: Id of the newest of them.
        """
        self.own[rows], self._own_id[rows] = codes, version
        self.changed[rows] = self.version = version
        self._combine(rows)

    def code(self, value: str) -> int:
        """Return the code of a value, a new one if necessary."""
        if value not in self._code_of:
            self._code_of[value] = len(self.values)
            self.values.append(value)
        return self._code_of[value]

    def _resolve(self, annotations: pa.Table) -> None:
        """Set the labels of the photographs of annotations; all annotations of these must be given."""
        if not annotations.num_rows:
            return
        image, id_ = annotations["image_id"].to_numpy(), annotations["id"].to_numpy()
        row = np.searchsorted(self._photographs.ids, image)
        row[row == len(self._photographs.ids)] = 0
        exists = self._photographs.ids[row] == image if len(self._photographs.ids) else np.zeros(len(image), bool)
        code = _translate(annotations["value"], self.code).astype(np.int32)
        rank = _translate(annotations["origin"], LABEL_PRECEDENCE.index)
        author = _translate(annotations["author"], lambda name: self._authors.setdefault(name, len(self._authors)))
        own = (rank == _MANUAL) & (author == 0)
        order = np.lexsort((id_, author, rank, row))
        order = order[exists[order]]
        key = np.stack([row, rank, author])[:, order]
        newest = order[np.append((key[:, 1:] != key[:, :-1]).any(0), True)[: len(order)]]
        touched = np.unique(row[newest])
        self.own[touched], self._own_id[touched], self._other[touched] = -1, 0, -1
        self._other_origin[touched], self._other_id[touched] = _NO_ORIGIN, 0
        np.maximum.at(self.changed, row[newest], id_[newest])
        mine = newest[own[newest]]
        self.own[row[mine]], self._own_id[row[mine]] = code[mine], id_[mine]
        others = newest[~own[newest] & (code[newest] >= 0)]
        people = others[rank[others] <= _IMPORT]
        kept = self._people[:, ~np.isin(self._people[0], touched)]
        self._people = np.hstack([kept, np.stack([row[people], author[people], code[people]])])
        others = others[np.lexsort((id_[others], -rank[others], row[others]))]  # the effective one comes last
        self._other[row[others]], self._other_origin[row[others]] = code[others], rank[others]
        self._other_id[row[others]] = id_[others]
        self._combine(touched)

    def _combine(self, rows: Rows) -> None:
        """Determine the effective labels: of two people's, the newer one; a person's before any other."""
        if self._own_only:
            self.codes[rows] = self.own[rows]
            self.origins[rows] = np.where(self.own[rows] >= 0, _MANUAL, _NO_ORIGIN)
            return
        newer = (self._other_origin[rows] == _MANUAL) & (self._other_id[rows] > self._own_id[rows])
        is_own = (self.own[rows] >= 0) & ~newer
        self.codes[rows] = np.where(is_own, self.own[rows], self._other[rows])
        self.origins[rows] = np.where(is_own, _MANUAL, self._other_origin[rows])


def _translate(texts: pa.ChunkedArray, number: Callable[[str], int]) -> NDArray[np.int64]:
    """Return the number of each text, -1 for null; the function is called once for each that differs."""
    encoded = texts.combine_chunks().dictionary_encode()
    numbers = np.array([*map(number, encoded.dictionary.to_pylist()), -1], np.int64)
    translated: NDArray[np.int64] = numbers[encoded.indices.fill_null(-1).to_numpy()]
    return translated
