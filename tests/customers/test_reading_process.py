import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.customers.fixtures import Reading
from enrich.customers.reading_process import NICENESS, Task, read_in_second_process, receive, serve
from enrich.customers.record_batches import RecordBatch, read_batches
from enrich.errors import FixtureFileError
from tests.support.waiting import wait_until

WITHIN_S = 20
FORMATS = ["c.csv", "c.tsv", "c.json", "c.jsonl", "c.vcf", "c.xlsx"]

VALUES = st.sampled_from(["", "Ada", "José", 'a "b" c', "+1 415 555 0100", "12", "ada@example.com", "x|y", "#N/A"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from(["", "1", "2", "3", "C-1"]), "name": VALUES},
        optional={"phones": VALUES, "emails": VALUES, "notes": VALUES, "company": VALUES},
    ),
    max_size=8,
)
COLUMNS = ("id", "name", "phones", "emails", "notes", "company")


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """Write these rows in the format of the name."""
    if path.suffix == ".xlsx":
        workbook = openpyxl.Workbook()
        for cells in (COLUMNS, *([row.get(name, "") for name in COLUMNS] for row in rows)):
            workbook.active.append(cells)
        workbook.save(path)
    elif path.suffix == ".vcf":
        cards = [
            f"BEGIN:VCARD\nUID:{row['id']}\nFN:{row['name']}\nTEL:{row.get('phones', '')}\nEND:VCARD\n" for row in rows
        ]
        path.write_text("".join(cards) or "BEGIN:VCARD\n")
    elif path.suffix in {".json", ".jsonl"}:
        lists = {"phones", "emails", "notes"}
        objects = [{name: [one] if name in lists else one for name, one in row.items()} for row in rows]
        path.write_text(json.dumps(objects) if path.suffix == ".json" else "\n".join(map(json.dumps, objects)))
    else:
        separator = "\t" if path.suffix == ".tsv" else ","
        lines = [COLUMNS, *([row.get(name, "") for name in COLUMNS] for row in rows)]
        path.write_bytes("\n".join(separator.join(cells) for cells in lines).encode("cp1252"))


def outcome(batches: Iterator[RecordBatch], remarks: list[str]) -> tuple[list[RecordBatch], list[str], str]:
    """Return the batches, the remarks and the text of the error, "" for none."""
    taken = []
    try:
        for batch in batches:
            taken.append(batch)  # noqa: PERF402 - those before the error count
    except FixtureFileError as exc:
        return taken, remarks, str(exc)
    return taken, remarks, ""


def through_a_pipe(task: Task, remarks: list[str], **options: Any) -> Iterator[RecordBatch]:
    """Yield the batches that come through the messages, in this process."""
    pipe = io.BytesIO()
    serve(task, pipe, **options)
    return receive(io.BytesIO(pipe.getvalue()), remarks.append)


@given(st.sampled_from(FORMATS), ROWS, st.integers(0, 3), st.integers(1, 4), st.booleans())
def test_the_rows_are_those_of_one_process(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    rows: list[dict[str, str]],
    skipped: int,
    batch_rows: int,
    is_cut: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    write(path, rows)
    if is_cut:
        path.write_bytes(path.read_bytes()[:-3])
    remarks: list[str] = []
    reading = Reading("US", remark=remarks.append)
    alone = outcome(read_batches(path, reading, skip_rows=skipped, batch_rows=batch_rows), remarks)
    others: list[str] = []
    task = Task(path, Reading("US"), (), skipped, batch_rows, batches_ahead=1)
    assert outcome(through_a_pipe(task, others), others) == alone


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_read_in_a_second_process(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write(
        path, [{"id": str(number % 7), "name": "José", "phones": f"+1 415 555 01{number:02}"} for number in range(10)]
    )
    remarks: list[str] = []
    alone = outcome(read_batches(path, Reading("US", remark=remarks.append), batch_rows=3), remarks)
    others: list[str] = []
    reading = Reading("US", remark=others.append)
    assert outcome(read_in_second_process(path, reading, batch_rows=3, batches_ahead=1), others) == alone


def test_all_arguments_reach_the_second_process(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes("Nummer,name,phones,ids.AccountNumber\n1,A,,\n2,Müller,089 12345678,A-1\n".encode("cp850"))
    reading = Reading("DE", {"Nummer": "id"}, "cp850")
    arguments = {"kinds": ("account_number",), "skip_rows": 1}
    (batch,) = read_in_second_process(path, reading, **arguments)  # type: ignore[arg-type]
    assert [batch] == list(read_batches(path, reading, **arguments))  # type: ignore[arg-type]
    (record,) = batch.rows
    assert '"+498912345678"' in record.fields_json  # type: ignore[union-attr]
    assert '"account_number"' in record.fields_json  # type: ignore[union-attr]


def test_a_file_that_cannot_be_read_is_the_same_error(tmp_path: Path) -> None:
    with pytest.raises(FixtureFileError, match=r"^nowhere\.csv: No such file or directory$"):
        list(read_in_second_process(tmp_path / "nowhere.csv", Reading("US")))


class Picky(Exception):
    """An exception that cannot be unpickled."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [(MemoryError("too little"), MemoryError, "too little"), (Picky("un", "like"), RuntimeError, "unlike")],
)
def test_a_fault_is_raised_with_its_traceback(error: Exception, kind: type[Exception], message: str) -> None:
    def read(*_: Any, **__: Any) -> Iterator[RecordBatch]:
        yield RecordBatch((), 1)
        raise error

    batches = through_a_pipe(Task(Path("c.csv"), Reading("US"), (), 0, 1, 1), [], read=read)
    assert next(batches) == RecordBatch((), 1)
    with pytest.raises(kind, match=message) as raised:
        next(batches)
    assert "test_reading_process.py" in "".join([str(raised.value), *getattr(raised.value, "__notes__", [])])


def test_the_reader_is_as_many_batches_ahead_as_it_may_be() -> None:
    total, ahead = 50, 3
    produced, written = [0], [0]
    leads = []
    changed = threading.Condition()

    def read(*_: Any, **__: Any) -> Iterator[RecordBatch]:
        for number in range(1, total + 1):
            with changed:
                produced[0] = number
                leads.append(number - written[0])
                changed.notify_all()
            yield RecordBatch((), number)

    class Slow(io.BytesIO):
        """A pipe that takes a message only when the reader is as far ahead as it may be."""

        def flush(self) -> None:
            with changed:
                furthest = min(total, written[0] + ahead + 2)
                assert changed.wait_for(lambda: produced[0] >= furthest, WITHIN_S)
                written[0] += 1

    serve(Task(Path("c.csv"), Reading("US"), (), 0, 1, ahead), Slow(), read)
    # In the queue as many as allowed; one is being written, and one waits for its place.
    assert max(leads) == ahead + 2


# --- The life of the process


def long_file(directory: Path) -> Path:
    """Return a file of which a pipe and one batch ahead hold a small part."""
    path = directory / "c.jsonl"
    row = {"name": "Ada", "notes": ["x" * 500]}
    path.write_text("".join(json.dumps({"id": str(number), **row}) + "\n" for number in range(3000)))
    return path


def children() -> set[int]:
    """Return the ids of this process's children."""
    return {
        int(child)
        for thread in Path("/proc/self/task").iterdir()
        for child in (thread / "children").read_text().split()
    }


def is_running(process_id: int) -> bool:
    """Return whether this process exists, and is not one that has ended and waits for its parent."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")


def started(directory: Path) -> tuple[Generator[RecordBatch, None, None], int]:
    """Return the batches of a long file behind the first, and the id of the process that reads it."""
    before = children()
    batches = read_in_second_process(long_file(directory), Reading("US"), batch_rows=1, batches_ahead=1)
    next(batches)
    (child,) = children() - before
    return batches, child


@needs_proc
def test_a_process_that_is_killed_is_one_clear_error(tmp_path: Path) -> None:
    batches, child = started(tmp_path)
    os.kill(child, signal.SIGKILL)
    with pytest.raises(
        FixtureFileError, match=r"^c\.jsonl: the process that reads the file was ended by SIGKILL; load"
    ):
        list(batches)
    assert not is_running(child)


@needs_proc
@pytest.mark.parametrize("error", [None, KeyboardInterrupt()])
def test_the_process_ends_when_no_more_is_read(tmp_path: Path, error: BaseException | None) -> None:
    batches, child = started(tmp_path)
    # The terminal's Ctrl-C is for a group of processes.
    assert os.getpgid(child) != os.getpgid(0)
    if error is None:
        batches.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            batches.throw(error)
    assert not is_running(child)


@needs_proc
def test_the_process_gives_way_to_the_one_that_writes(tmp_path: Path) -> None:
    batches, child = started(tmp_path)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, child) == min(own + NICENESS, 19)
    batches.close()


PARENT = """
import os, signal, sys
from pathlib import Path
from enrich.customers.fixtures import Reading
from enrich.customers.reading_process import read_in_second_process
batches = read_in_second_process(Path(sys.argv[1]), Reading("US"), batch_rows=1)
next(batches)
children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
print(children, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@needs_proc
def test_the_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.run(
        [sys.executable, "-c", PARENT, str(long_file(tmp_path))], stdout=subprocess.PIPE, text=True, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    (child,) = map(int, parent.stdout.split())
    wait_until(lambda: not is_running(child), WITHIN_S)
