"""Statements of the hot path: written with SQLAlchemy, compiled once, executed by the driver itself.

What SQLAlchemy does around each execution (a connection with its transaction, a context, a result and its rows) takes
several times as long as the statement. The types of its columns are asked as ever: what goes in and what comes out is
the same either way.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect, Executable
from sqlalchemy.sql.compiler import SQLCompiler

Process = Callable[[Any], Any]
# The name under which a value is given, or None for one that is fixed; how it is made ready for the driver; the fixed.
_Place = tuple[str | None, Process | None, Any]


class Prepared:
    """One statement in the words of one dialect. text: as the driver takes it. returns_rows: whether it gives any."""

    def __init__(self, statement: Executable, dialect: Dialect, given: Collection[str] = ()) -> None:
        """given: of an INSERT, the columns that a value is given for each time; others have their defaults.

        Raises TypeError when something would have to be computed each time: a column's default, the length of a list.
        """
        self.statement = statement
        # Every statement that is executable has it; SQLAlchemy's type of them does not say so.
        compiled = statement.compile(dialect=dialect, column_keys=list(given) or None)  # type: ignore[attr-defined]
        self.text: str = str(compiled)
        self._names, self._places = _places(compiled, dialect)
        columns = list(getattr(statement, "exported_columns", ()))
        self.returns_rows = bool(columns)
        self._row = _row_of([column.key for column in columns])
        results = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._results: list[Process | None] | None = results if any(results) else None

    def arguments(self, values: Mapping[str, Any]) -> Any:
        """The values as the driver takes them: in their order, or by name. Raises KeyError, ValueError."""
        ready = [
            fixed if name is None else values[name] if process is None else process(values[name])
            for name, process, fixed in self._places
        ]
        return ready if self._names is None else dict(zip(self._names, ready, strict=True))

    def rows(self, fetched: Sequence[Any]) -> Sequence[Any]:
        """Rows whose columns have names, of those that the driver gave."""
        if self._results is None:
            return [self._row._make(row) for row in fetched]
        return [
            self._row._make(
                value if process is None else process(value) for value, process in zip(row, self._results, strict=True)
            )
            for row in fetched
        ]


def _row_of(names: Sequence[str]) -> Any:
    return namedtuple("Row", names, rename=True)


def _places(compiled: SQLCompiler, dialect: Dialect) -> tuple[list[str] | None, list[_Place]]:
    """The names of the places, where the driver goes by names, and the places."""
    if compiled.post_compile_params:
        raise TypeError("a list of values has another length each time; such a statement cannot be prepared")
    defaults = {column.key: _default(column) for column in compiled.insert_prefetch}
    positions: Sequence[str] | None = compiled.positiontup
    names: list[str] = list(compiled.params if positions is None else positions)
    places: list[_Place] = []
    for name in names:
        bind = compiled.binds[name]
        process = bind.type.dialect_impl(dialect).bind_processor(dialect)
        fixed = defaults.get(name, bind.value)
        if name in defaults or not (bind.required or fixed is None):
            places.append((None, None, process(fixed) if process else fixed))
        else:
            places.append((name, process, None))
    return (names if positions is None else None), places


def _default(column: Any) -> Any:
    if not column.default.is_scalar:
        raise TypeError(f"{column} has no fixed default; give its value")
    return column.default.arg
