"""The columns of exported tables: name, heading, type, unit and written form of each.

Numbers have two names: ``f_number`` is 5.6 in files for programs, and ``aperture`` is ``f/5.6``; tables for people show
both as photographers write them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from lightmeter import plugins
from lightmeter.errors import UsageError
from lightmeter.exposure import nominal_settings
from lightmeter.harvest.catalogue.database.session import distinct_values
from lightmeter.harvest.catalogue.effective_labels import labelled_targets
from lightmeter.harvest.catalogue.models import Inspection
from lightmeter.harvest.catalogue.query.fields import LABEL_PREFIX
from lightmeter.harvest.exif.columns import CAPTURE_COLUMNS, EXIF_COLUMNS
from lightmeter.plugins import unknown_name_message

Row = Mapping[str, Any]
"""Values of one photograph by the keys of columns."""

Value = str | int | float | bool | None


def _same(value: Any) -> Any:
    return value


def _plain(value: Any) -> str:
    """Return a value as text for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an exported table.

    Attributes:
        name: Name in files for programs, and of ``--columns`` and ``--sort``.
        title: Heading in tables for people.
        type: ``str``, ``int``, ``float`` or ``bool``.
        unit: Unit of numbers, empty for none.
        field: Field of the query language with the same values, for sorting; empty for none.
        keys: Keys of a row that the value is made of.
        convert: Returns the value from the values of the keys; not called if all of them are missing.
        format: Returns the value as text for people.
        is_written_number: Whether the value is a number in photographers' notation.
    """

    name: str
    title: str
    type: type = str
    unit: str = ""
    field: str = ""
    keys: tuple[str, ...] = ()
    convert: Callable[..., Any] = _same
    format: Callable[[Any], str] = _plain
    is_written_number: bool = False

    def value(self, row: Row) -> Value:
        """Return the value of a photograph in the column's type, or None."""
        values = [row.get(key) for key in self.keys]
        if all(value is None for value in values):
            return None
        result: Value = self.convert(*values)
        return result

    def text(self, row: Row) -> str:
        """Return the value of a photograph as text for people, empty if it is missing."""
        value = self.value(row)
        return "" if value is None else self.format(value)


def camera_name(make: str | None, model: str | None) -> str | None:
    """Return make and model as one name, without repeating the make.

    Example:
        >>> camera_name("NIKON CORPORATION", "NIKON D90"), camera_name("Apple", "iPhone 6")
        ('NIKON D90', 'Apple iPhone 6')
    """
    if not make or not model:
        return model or make
    return model if model.lower().startswith(make.split()[0].lower()) else f"{make} {model}"


def available_columns(connection: Connection) -> dict[str, Column]:
    """Return all columns that a table of a catalogue can have, by name."""
    filters = list(plugins.installed("filters"))
    columns = [
        *_COLUMNS.values(),
        *(Column(name, f"{name.capitalize()} verdict", field=name, keys=(name,)) for name in filters),
        *_measure_columns(connection),
        *(
            Column(f"{LABEL_PREFIX}{target}", target.replace("-", " ").capitalize(), field=f"{LABEL_PREFIX}{target}")
            for target in labelled_targets(connection)
        ),
    ]
    return {column.name: column if column.keys else replace(column, keys=(column.name,)) for column in columns}


def default_columns(columns: Mapping[str, Column], *, for_people: bool) -> list[Column]:
    """Return the columns of a table for which none were chosen.

    Args:
        columns: All columns by name.
        for_people: Whether the table is read by people, who get few columns, or by programs, which get all values once.
    """
    labels = [column for name, column in columns.items() if name.startswith(LABEL_PREFIX)]
    if for_people:
        return [*(columns[name] for name in _FOR_PEOPLE), *labels]
    measures = [column for column in columns.values() if column.keys[0].partition(".")[2] and column not in labels]
    return [*(columns[name] for name in _FOR_PROGRAMS), *measures, *labels]


def choose_columns(columns: Mapping[str, Column], names: Iterable[str]) -> list[Column]:
    """Return columns by name, in the given order.

    Raises:
        UsageError: A column is unknown or named twice.
    """
    selected: list[Column] = []
    by_key = {name.lower(): column for name, column in columns.items()}
    by_key |= {column.keys[0].lower(): column for column in columns.values() if "." in column.keys[0]}
    for name in (name.strip() for name in names):
        column = by_key.get(name.lower())
        if column is None:
            raise UsageError(unknown_name_message("column", name, sorted(columns)))
        if column in selected:
            raise UsageError(f"The column '{name}' is named twice; name each column once.")
        selected.append(column)
    return selected


def _measure_columns(connection: Connection) -> list[Column]:
    """Return one column per measure with a plain value, taken from the newest inspection of each filter."""
    newest = select(Inspection.measures).order_by(Inspection.id.desc()).limit(1)
    columns = []
    for name in distinct_values(connection, Inspection.filter):
        measures = connection.scalars(newest.where(Inspection.filter == name)).one()
        columns += [
            Column(
                f"{name}_{measure}",
                f"{name.capitalize()}: {measure.replace('_', ' ')}",
                type(value) if isinstance(value, bool | str) else float,
                field=f"{name}.{measure}",
                keys=(f"{name}.{measure}",),
            )
            for measure, value in measures.items()
            if value is None or isinstance(value, str | int | float)
        ]
    return columns


def _exif_columns() -> Iterable[Column]:
    for name, column in EXIF_COLUMNS.items():
        write = _plain if name in ("iso", "taken_at") else column.format
        if name == "iso":
            write = "{:.0f}".format
        yield Column(name, column.title, column.type, column.unit, name, (name,), format=write)
        for alias in column.aliases:
            convert = {"year": _year, "date": _day}.get(alias, column.format)
            title = "Year" if alias == "year" else column.title
            written = column.type is float
            yield Column(alias, title, field=name, keys=(name,), convert=convert, is_written_number=written)


def _nominal_columns() -> Iterable[Column]:
    for name in ("f_number", "exposure_time_s", "iso"):
        column = EXIF_COLUMNS[name]
        nominal = _nominal(name)
        title, write = f"{column.title} (nominal)", "{:.0f}".format if name == "iso" else column.format
        yield Column(f"nominal_{name}", title, float, column.unit, name, (name,), nominal, write)
        if column.aliases:
            alias = f"nominal_{column.aliases[0]}"
            convert = _written(nominal, column.format)
            yield Column(alias, title, field=name, keys=(name,), convert=convert, is_written_number=True)


def _nominal(name: str) -> Callable[[float], float | None]:
    return lambda value: nominal_settings(**{name: value})[name]


def _written(nominal: Callable[[float], float | None], write: Callable[[Any], str]) -> Callable[[float], str | None]:
    def convert(value: float) -> str | None:
        number = nominal(value)
        return None if number is None else write(number)

    return convert


def _year(taken_at: str) -> str:
    return taken_at[:4]


def _day(taken_at: str) -> str:
    return taken_at[:10]


def _join(items: Sequence[str]) -> str:
    return ", ".join(map(str, items))


def _sighting_column(name: str, title: str, **options: Any) -> Column:
    return Column(name, title, field=options.pop("field", name), keys=(options.pop("key", name),), **options)


def _isoformat(time: datetime) -> str:
    return time.isoformat()


_COLUMNS = {
    column.name: column
    for column in (
        Column("sha256", "SHA-256", field="sha256"),
        *(
            _sighting_column(name, title)
            for name, title in {
                "source": "Source", "source_id": "Source id", "page_url": "Page", "owner": "Photographer",
                "licence": "Licence", "attribution": "Attribution", "title": "Title", "medium": "Declared medium",
                "file": "File",
            }.items()
        ),
        _sighting_column("media_url", "Address", field=""),
        _sighting_column("attribution", "Attribution", field=""),
        _sighting_column("tags", "Tags", field="tag", convert=_join),
        _sighting_column("concepts", "Concepts", field="concept", convert=_join),
        _sighting_column("published_at", "Published", convert=_isoformat),
        Column("camera", "Camera", field="camera", keys=("make", "model"), convert=camera_name),
        *_exif_columns(),
        *_nominal_columns(),
        Column("width", "Width", int, "px", "width"),
        Column("height", "Height", int, "px", "height"),
        Column("file_size", "Size", int, "bytes", "file_size", format="{:,}".format),
        Column("format", "Format", field="format"),
    )
}  # fmt: skip
_FOR_PROGRAMS = (
    "sha256", "source", "source_id", "page_url", "owner", "licence", "attribution", *CAPTURE_COLUMNS, "width", "height",
    "file", "nominal_f_number", "nominal_exposure_time_s", "nominal_iso",
)  # fmt: skip
_FOR_PEOPLE = ("file", "camera", "aperture", "shutter", "iso", "focal_length", "date")
