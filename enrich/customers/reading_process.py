"""Reading of a customer file in a second process, so that validation and writing use two processors.

The process is started anew (`python -m enrich.customers.reading_process`) rather than forked or spawned by
`multiprocessing`: it inherits no connection, thread or patch of gevent's, and does not import the program that is
running, as `spawn` would. It imports what reads files only, which takes a third of a second.

    standard input    the arguments, pickled; then nothing, until the parent closes it or ends: the process ends, too
    standard output   messages, pickled: ("remark", text), ("batch", rows, rows read), and last ("end",) or
                      ("error", exception)

Both ends are of the same program, so that what is unpickled is its own. Garbage collection stays on: off, 3,000 rows
took 193.6 microseconds each instead of 193.9, since so few objects live longer than their row.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import enrich
from enrich.customers.fixtures import Reading
from enrich.customers.record_batches import BATCH_ROWS, RecordBatch, read_batches
from enrich.customers.source_record import SourceRecord
from enrich.errors import FixtureFileError

# Batches that may wait for the parent, so that a slow commit does not leave this process idle.
BATCHES_AHEAD = 4
# It gives way to callbacks, and to the process that writes, which holds SQLite's write lock. Beside 100 callbacks a
# second on two processors 99 of 100 of a load's turns took at most 8.6 to 11 ms with this, and 12 to 15 without. With
# 19 it would stand still where others keep the processors busy.
NICENESS = 10

# None behind the last one.
_Messages = queue.Queue[tuple[Any, ...] | None]


@dataclass(frozen=True, slots=True)
class Task:
    """The arguments of `read_in_second_process`."""

    path: Path
    reading: Reading
    kinds: tuple[str, ...]
    skip_rows: int
    batch_rows: int
    batches_ahead: int


def read_in_second_process(
    path: Path,
    reading: Reading,
    *,
    kinds: Collection[str] = (),
    skip_rows: int = 0,
    batch_rows: int = BATCH_ROWS,
    batches_ahead: int = BATCHES_AHEAD,
) -> Generator[RecordBatch, None, None]:
    """Yield the same batches as `read_batches`, read in a process of their own; remarks are called in this one.

    batches_ahead: so many batches wait to be taken, beside one that is on the way and one that is just read; then the
    process waits, so that memory does not grow. It ends when the iterator is exhausted or closed, and when this process
    ends, however that happens.
    Raises FixtureFileError as `read_batches` does, and if the process was killed; any other exception of the process as
    itself, with the traceback as a note.
    """
    task = Task(path, replace(reading, remark=_no_remark), tuple(kinds), skip_rows, batch_rows, batches_ahead)
    with _process() as process:
        yield from _batches(process, task, reading.remark)


def _no_remark(_: str) -> None:
    """Ignore the remark: a callback cannot be sent to another process."""


@contextmanager
def _process() -> Iterator[subprocess.Popen[bytes]]:
    root = str(Path(enrich.__file__).parents[1])
    paths = filter(None, (root, os.environ.get("PYTHONPATH")))
    process = subprocess.Popen(  # noqa: S603 - no shell, and no argument but this interpreter and this module
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        # Ctrl-C is for this process, which ends the other one.
        process_group=0,
    )
    try:
        yield process
    finally:
        # It holds nothing that has to be finished: its temporary file has no name any more.
        process.kill()
        for pipe in filter(None, (process.stdin, process.stdout)):
            with suppress(BrokenPipeError):
                pipe.close()
        process.wait()


def _batches(process: subprocess.Popen[bytes], task: Task, remark: Callable[[str], None]) -> Iterator[RecordBatch]:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    with suppress(BrokenPipeError):  # it has ended already; below it shows how
        pickle.dump(task, process.stdin)
        process.stdin.flush()
    try:
        yield from receive(process.stdout, remark)
    except EOFError as exc:
        raise FixtureFileError(f"{task.path.name}: {_ending(process.wait())}") from exc


def receive(source: IO[bytes], remark: Callable[[str], None]) -> Iterator[RecordBatch]:
    """Yield the batches of the messages that `serve` writes.

    remark: called with each remark, in its place among the batches. Raises the error of the process, and EOFError if
    the messages end before the last one.
    """
    while True:
        try:
            kind, *content = pickle.load(source)  # noqa: S301 - only our child can write to this pipe
        except pickle.UnpicklingError as exc:
            raise EOFError from exc
        if kind == "batch":
            rows, rows_read = content
            yield RecordBatch(tuple(_from_tuple(row) if type(row) is tuple else row for row in rows), rows_read)
        elif kind == "remark":
            remark(*content)
        elif kind == "error":
            raise content[0]
        else:
            return


def _ending(status: int) -> str:
    how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    return f"the process that reads the file was ended {how}; load the file again"


def serve(task: Task, sink: IO[bytes], read: Callable[..., Iterable[RecordBatch]] = read_batches) -> None:
    """Read the file of this task, and write messages to `sink`, in a thread of its own. Raises nothing.

    read: a function with the arguments of `read_batches`.
    """
    messages: _Messages = queue.Queue(task.batches_ahead)
    writer = threading.Thread(target=_write_all, args=(messages, sink), daemon=True)
    writer.start()
    for message in _messages(task, messages, read):
        messages.put(message)
    messages.put(None)
    writer.join()


def _messages(task: Task, messages: _Messages, read: Callable[..., Iterable[RecordBatch]]) -> Iterator[tuple[Any, ...]]:
    reading = replace(task.reading, remark=lambda text: messages.put(("remark", text)))
    try:
        for batch in read(task.path, reading, kinds=task.kinds, skip_rows=task.skip_rows, batch_rows=task.batch_rows):
            # Tuples, because a dataclass takes twice the time to pickle; and the fields once, as JSON.
            rows = [_as_tuple(row) if isinstance(row, SourceRecord) else row for row in batch.rows]
            yield "batch", rows, batch.rows_read
    except Exception as exc:  # noqa: BLE001 - the parent raises it; here, nobody could handle any kind of it
        yield "error", _for_parent(exc)
    else:
        yield ("end",)


def _as_tuple(record: SourceRecord) -> tuple[Any, ...]:
    return (
        record.remote_id,
        record.is_nameless,
        record.fields_json,
        record.hash,
        record.partial,
    )


def _from_tuple(row: tuple[Any, ...]) -> SourceRecord:
    remote_id, is_nameless, fields_json, *rest = row
    return SourceRecord(remote_id, json.loads(fields_json), is_nameless, fields_json, *rest)


def _for_parent(error: Exception) -> Exception:
    """Return the error, with its traceback as a note, in a form that can be pickled."""
    if isinstance(error, FixtureFileError):
        return FixtureFileError(str(error))
    text = "".join(traceback.format_exception(error))
    error.add_note(text)
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - dumped in the same expression
    except Exception:  # noqa: BLE001 - runs the exception's own code, which may raise anything
        return RuntimeError(text)
    return error


def _write_all(messages: _Messages, sink: IO[bytes]) -> None:
    try:
        while (message := messages.get()) is not None:
            pickle.dump(message, sink, pickle.HIGHEST_PROTOCOL)
            sink.flush()
    except BrokenPipeError:
        os._exit(1)  # the parent has ended
    except Exception:  # noqa: BLE001 - else this process would wait for its own queue, and the parent for this process
        traceback.print_exc()
        os._exit(1)


def _end_with_parent(source: IO[bytes]) -> None:
    source.read()
    os._exit(1)


def main() -> None:
    """Serve the parent over standard input and output, and end when it does."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a stray print must not come among the messages
    os.nice(NICENESS)
    task: Task = pickle.load(source)  # noqa: S301 - only the parent can write to this pipe
    threading.Thread(target=_end_with_parent, args=(source,), daemon=True).start()
    serve(task, sink)


if __name__ == "__main__":
    main()
