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
        names: list[str] = list(compiled.params if compiled.positiontup is None else compiled.positiontup)
        self._names, self._is_positional = names, compiled.positiontup is not None
        self._fixed, by_name = _places(compiled, dialect, names)
        self._processes = [(place, by_name[name]) for place, name in enumerate(names) if name in by_name]
        columns = list(getattr(statement, "exported_columns", ()))
        self.returns_rows = bool(columns)
        self._row = _row_of([column.key for column in columns])
        results = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._results = [(place, process) for place, process in enumerate(results) if process]

    def arguments(self, values: Mapping[str, Any]) -> Any:
        """The values as the driver takes them: in their order, or by name. Raises KeyError, ValueError."""
        complete = {**values, **self._fixed}
        ready = _processed([complete[name] for name in self._names], self._processes)
        return ready if self._is_positional else dict(zip(self._names, ready, strict=True))

    def rows(self, fetched: Sequence[Any]) -> Sequence[Any]:
        """Rows whose columns have names, of those that the driver gave."""
        if not self._results:
            return [self._row._make(row) for row in fetched]
        return [self._row._make(_processed(list(row), self._results)) for row in fetched]


def _processed(values: list[Any], processes: Sequence[tuple[int, Process]]) -> list[Any]:
    """The same list, with what stands at these places made ready."""
    for place, process in processes:
        values[place] = process(values[place])
    return values


def _row_of(names: Sequence[str]) -> Any:
    return namedtuple("Row", names, rename=True)  # noqa: PYI024 - the names are known at run time only


def _places(compiled: SQLCompiler, dialect: Dialect, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Process]]:
    """The values that are the same each time, ready for the driver; and how the others are made ready, if at all."""
    if compiled.post_compile_params:
        raise TypeError("a list of values has another length each time; such a statement cannot be prepared")
    defaults = {column.key: _default(column) for column in compiled.insert_prefetch}
    fixed: dict[str, Any] = {}
    processes: dict[str, Process] = {}
    for name in names:
        bind = compiled.binds[name]
        process = bind.type.dialect_impl(dialect).bind_processor(dialect)
        value = defaults.get(name, bind.value)
        if name in defaults or not (bind.required or value is None):
            fixed[name] = process(value) if process else value
        elif process:
            processes[name] = process
    return fixed, processes


def _default(column: Any) -> Any:
    if not column.default.is_scalar:
        raise TypeError(f"{column} has no fixed default; give its value")
    return column.default.arg
