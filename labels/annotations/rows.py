"""Rows of imported files: one annotation each, parsed strictly before anything is written."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError

from lightmeter.errors import UsageError
from lightmeter.labels.targets.base import Target
from lightmeter.plugins import unknown_name_message
from lightmeter.text.names import name_problem


def _parse_time(text: object) -> datetime:
    try:
        time = datetime.fromisoformat(str(text))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"'{text}' is not a date and time such as 2026-05-01T12:00:00+00:00") from error


def _check_text(text: str) -> str:
    problem = name_problem(text)
    if problem is not None:
        raise ValueError(f"'{text}' {problem}")
    return text


Text = Annotated[str, AfterValidator(_check_text)]


class AnnotationRow(BaseModel):
    """Columns of an annotation in a file. Empty cells count as missing.

    Attributes:
        sha256: SHA-256 of the photograph; capitals and blanks around it do not matter.
        target: Name of the target.
        value: Class name, or several joined by ``|``.
        removed: Whether the row is the removal of an earlier label, as exported, instead of a label.
        number: The value in the target's unit; default: that of the class.
        origin: Origin of the annotation.
        author: The annotator, program or model.
        version: Version of the target's rule.
        confidence: Confidence of the author, 0 to 1.
        created_at: Time of the annotation; None for the time of the import.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, str_strip_whitespace=True)

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$"), BeforeValidator(lambda text: str(text).strip().lower())]
    target: str
    value: str | None = None
    removed: bool = False
    number: FiniteFloat | None = None
    origin: Literal["manual", "import", "rule", "model"] = "import"
    author: Text
    version: Annotated[Text, Field(max_length=64)] | None = None
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    created_at: Annotated[datetime, BeforeValidator(_parse_time)] | None = None


_EXPECTED = {
    "sha256": "must be a SHA-256 of 64 hexadecimal digits",
    "number": "must be a finite number",
    "confidence": "must be a number from 0 to 1",
    "origin": "must be manual, import, rule or model",
}


@dataclass
class ParsedFile:
    """Content of a file of annotations.

    Attributes:
        rows: Number in the file and label of each valid row, as a row of the table ``labels`` with ``sha256`` instead
            of the image id; ``created_at`` is None for the time of the import.
        refused: Number in the file and reason of each invalid row.
        empty: Number of rows without a class, which are ignored.
        skipped: Number of annotations that the annotator skipped.
        ignored: Number of values by column or control of Label Studio, of those that are no target.
        names: Names of photographs that are not given by hash.
    """

    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    empty: int = 0
    skipped: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    names: set[str] = field(default_factory=set)

    def add(
        self,
        number: int,
        values: Mapping[str, Any],
        targets: Mapping[str, Target[Any]],
        author: str,
        *,
        remove_empty: bool = False,
    ) -> None:
        """Parse a row, and add it to those that are valid, refused or empty.

        Args:
            number: Number of the row in the file.
            values: Values by column.
            targets: Targets by name.
            author: Author of rows without one.
            remove_empty: Take a row without a class as the removal of the author's label.
        """
        texts = {key: str(value).strip() for key, value in values.items() if value is not None}
        try:
            row = AnnotationRow.model_validate({"author": author} | {key: text for key, text in texts.items() if text})
            if row.value is None and not row.removed and not remove_empty:
                self.empty += 1
                return
            self.rows.append((number, _to_label(row, targets)))
        except ValidationError as error:
            self.refused.append((number, _problem(error)))
        except UsageError as error:
            self.refused.append((number, str(error)))


def _problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    column = str(problem["loc"][0]) if problem["loc"] else "row"
    if problem["type"] == "missing":
        return f"The column {column} is empty."
    if problem["type"] == "value_error":
        return f"{column}: {problem['msg'].removeprefix('Value error, ')}."
    return f"{column} {_EXPECTED.get(column, problem['msg'])}, not '{problem['input']}'."


def _to_label(row: AnnotationRow, targets: Mapping[str, Target[Any]]) -> dict[str, Any]:
    """Return a row of the table ``labels``, with the SHA-256 instead of the image id.

    Raises:
        UsageError: Target or class is unknown.
    """
    target = targets.get(row.target)
    if target is None:
        raise UsageError(unknown_name_message("target", row.target, list(targets)))
    value = None if row.value is None or row.removed else target.parse_value(row.value)
    number = target.number_of(value) if row.number is None else row.number
    return {**row.model_dump(exclude={"removed"}), "value": value, "number": number}
