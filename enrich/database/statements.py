"""Prepared statements of the hot path: written with SQLAlchemy, compiled once, executed by the driver itself.

SQLAlchemy's work around each execution (connection, transaction, context, result and rows) takes several times as long
as the statement. Column types process values as usual, so parameters and results are the same either way.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect, Executable
from sqlalchemy.sql.compiler import SQLCompiler

Process = Callable[[Any], Any]


class PreparedStatement:
    """One statement compiled for one dialect. text: as the driver expects it. returns_rows: False without a result."""

    def __init__(self, statement: Executable, dialect: Dialect, columns: Collection[str] = ()) -> None:
        """Compile the statement. columns: of an INSERT, those that get a value; others have their defaults.

        Raises TypeError if a part depends on each execution: a computed default, the length of a list.
        """
        self.statement = statement
        # Every executable statement has `compile`, but SQLAlchemy's type does not.
        compiled = statement.compile(dialect=dialect, column_keys=list(columns) or None)  # type: ignore[attr-defined]
        self.text: str = str(compiled)
        names: list[str] = list(compiled.params if compiled.positiontup is None else compiled.positiontup)
        self._names, self._is_positional = names, compiled.positiontup is not None
        self._fixed, by_name = _parameters_of(compiled, dialect, names)
        self._processes = [(index, by_name[name]) for index, name in enumerate(names) if name in by_name]
        result_columns = list(getattr(statement, "exported_columns", ()))
        self.returns_rows = bool(result_columns)
        self._row = _row_type([column.key for column in result_columns])
        results = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in result_columns]
        self._results = [(index, process) for index, process in enumerate(results) if process]

    def arguments(self, values: Mapping[str, Any]) -> Any:
        """Return the values as the driver expects them: in order, or by name. Raises KeyError, ValueError."""
        complete = {**values, **self._fixed}
        processed = _processed([complete[name] for name in self._names], self._processes)
        return processed if self._is_positional else dict(zip(self._names, processed, strict=True))

    def rows(self, fetched: Sequence[Any]) -> Sequence[Any]:
        """Return the driver's rows as named tuples, with processed values."""
        if not self._results:
            return [self._row._make(row) for row in fetched]
        return [self._row._make(_processed(list(row), self._results)) for row in fetched]


def _processed(values: list[Any], processes: Sequence[tuple[int, Process]]) -> list[Any]:
    """Process the values at these indexes, in place; return the list."""
    for index, process in processes:
        values[index] = process(values[index])
    return values


def _row_type(names: Sequence[str]) -> Any:
    return namedtuple("Row", names, rename=True)  # noqa: PYI024 - the names are known at run time only


def _parameters_of(
    compiled: SQLCompiler, dialect: Dialect, names: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Process]]:
    """Return the constant parameters, processed for the driver, and the bind processors of the others."""
    if compiled.post_compile_params:
        raise TypeError("a statement with a list of values cannot be prepared, because its length varies")
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
        raise TypeError(f"{column} has no constant default; pass its value")
    return column.default.arg
