"""The spool: round trips, torn tails, damage, the limit, long lines."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.errors import DataLoss
from spoke import spool
from spoke.spool import LINE_BYTES, OPEN, RESERVE_BYTES, Damaged, Entry, Kind, Reader, Writer
from spoke.supervisor.lines import Lines

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
OUTPUT_KINDS = [Kind.STDOUT, Kind.STDERR, Kind.STDOUT | OPEN, Kind.STDERR | OPEN]
ENTRIES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(OUTPUT_KINDS), st.binary(max_size=200)),
        st.tuples(st.sampled_from([Kind.DELIVERED, Kind.NOTED]), st.binary(max_size=20)),
    ),
    max_size=20,
)


def write(path: Path, entries: list[Entry], limit: int = spool.LIMIT_BYTES) -> int:
    writer = Writer(path, limit)
    try:
        writer.append(entries)
        return writer.dropped_bytes
    finally:
        writer.close()


def read(path: Path, after: int = 0, max_records: int = 4096) -> list[Entry]:
    reader = Reader(path, after)
    try:
        found: list[Entry] = []
        while records := reader.read(max_records, 1 << 16):
            assert [record.seq for record in records] == list(
                range(after + len(found) + 1, after + len(found) + len(records) + 1)
            )
            found += [(record.kind | (OPEN * record.open), record.payload) for record in records]
        return found
    finally:
        reader.close()


@SHARED
@given(batches=st.lists(ENTRIES, max_size=6), step=st.integers(1, 7))
def test_what_is_written_is_read_again(
    tmp_path: Path, batches: list[list[Entry]], step: int
) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"")
    for batch in batches:  # reopened each time: recovery goes on where the last writer ended
        write(path, batch)
    everything = [entry for batch in batches for entry in batch]
    assert read(path, max_records=step) == everything
    half = len(everything) // 2
    assert read(path, after=half) == everything[half:]


def test_a_tail_is_read_as_it_grows_and_an_offset_takes_it_up_again(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "spool")
    reader = Reader(tmp_path / "spool")
    assert reader.read() == []
    writer.append([(Kind.STDOUT, b"one"), (Kind.STDOUT, b"two")])
    assert [record.payload for record in reader.read()] == [b"one", b"two"]
    writer.append([(Kind.STDOUT, b"three")])
    second = Reader(tmp_path / "spool", reader.seq, reader.offset)
    assert [(record.seq, record.payload) for record in second.read()] == [(3, b"three")]
    for each in (writer, reader, second):
        each.close()


def test_a_tail_torn_at_any_byte_is_not_there_yet_and_is_cut_off_by_the_next_writer(
    tmp_path: Path,
) -> None:
    path = tmp_path / "spool"
    write(path, [(Kind.STDOUT, b"good")])
    good = path.stat().st_size
    write(path, [(Kind.STDERR, b"torn away")])
    whole = path.read_bytes()
    for length in range(good, len(whole)):
        path.write_bytes(whole[:length])
        assert read(path) == [(Kind.STDOUT, b"good")]
        write(path, [(Kind.NOTED, b"next")])
        assert read(path) == [(Kind.STDOUT, b"good"), (Kind.NOTED, b"next")]


def test_a_last_record_half_on_the_disk_is_a_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    write(path, [(Kind.STDOUT, b"good"), (Kind.STDOUT, b"zeroed")])
    path.write_bytes(path.read_bytes()[:-3] + b"\0\0\0")
    assert read(path) == [(Kind.STDOUT, b"good")]
    write(path, [])
    assert read(path) == [(Kind.STDOUT, b"good")]


def test_a_flipped_bit_before_the_tail_is_data_loss_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    write(path, [(Kind.STDOUT, b"first"), (Kind.STDOUT, b"second"), (Kind.STDOUT, b"third")])
    whole = path.read_bytes()
    size = len(whole) - len(b"first" + b"second" + b"third")
    second = size // 3 + len(b"first")
    for at in range(second, second + size // 3 + len(b"second")):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        reader = Reader(path)
        with pytest.raises(DataLoss, match="SPOOL_DAMAGED"):
            reader.read()
        reader.close()
        with pytest.raises(Damaged):
            Writer(path)


def test_beyond_the_limit_output_is_dropped_and_counted_and_the_rest_uses_the_reserve(
    tmp_path: Path,
) -> None:
    path = tmp_path / "spool"
    limit = RESERVE_BYTES + 100
    entries: list[Entry] = [
        (Kind.STARTING, b"{}"),
        (Kind.STDOUT, b"fits"),
        (Kind.STDOUT, b"x" * 80),
        (Kind.STDOUT | OPEN, b"small, but after the gap"),
        (Kind.DELIVERED, b"{}"),
    ]
    writer = Writer(path, limit)
    writer.append(entries)
    writer.append([(Kind.STDERR, b"later"), (Kind.EXITED, b"{}")])
    assert writer.dropped_bytes == 81 + 24 + 6
    writer.close()
    dropped = b'{"limitBytes":%d}' % limit
    assert read(path) == [
        (Kind.STARTING, b"{}"),
        (Kind.STDOUT, b"fits"),
        (Kind.DROPPED, dropped),
        (Kind.DELIVERED, b"{}"),
        (Kind.EXITED, b"{}"),
    ]
    assert write(path, [(Kind.STDOUT, b"a new writer knows that it is full")], limit) == 35
    assert len(read(path)) == 5


def test_a_full_disk_drops_output_and_leaves_no_half_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite

    def full(fd: int, data: bytes | memoryview, offset: int) -> int:
        if len(data) > 64:
            real(fd, bytes(data[:10]), offset)
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, bytes(data), offset)

    monkeypatch.setattr(os, "pwrite", full)
    writer = Writer(tmp_path / "spool")
    writer.append([(Kind.STDOUT, b"x" * 100), (Kind.NOTED, b"kept")])
    writer.append([(Kind.STDOUT, b"y" * 9)])
    assert (writer.seq, writer.dropped_bytes) == (1, 101 + 10)
    with pytest.raises(OSError, match="No space left"):
        writer.append([(Kind.NOTED, b"z" * 100)])
    writer.append([(Kind.EXITED, b"{}")])
    writer.close()
    assert read(tmp_path / "spool") == [(Kind.NOTED, b"kept"), (Kind.EXITED, b"{}")]


def test_a_write_cut_short_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, bytes(data[:7]), at))
    write(tmp_path / "spool", [(Kind.STDOUT, b"a line"), (Kind.STDERR, b"another")])
    assert read(tmp_path / "spool") == [(Kind.STDOUT, b"a line"), (Kind.STDERR, b"another")]


def test_a_record_larger_than_the_budget_of_the_reader_gets_through(tmp_path: Path) -> None:
    write(tmp_path / "spool", [(Kind.STARTING, b"s" * 300_000), (Kind.STDOUT, b"line")])
    reader = Reader(tmp_path / "spool")
    assert [len(record.payload) for record in reader.read(10, 100)] == [300_000]
    assert [record.payload for record in reader.read(10, 100)] == [b"line"]
    reader.close()


CHUNKS = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from([b"\n", b"a\nb\r\n\n", b"x" * LINE_BYTES, b"y" * (LINE_BYTES + 1)]),
    ),
    max_size=12,
)


@SHARED
@given(chunks=CHUNKS)
def test_the_stream_is_the_records_byte_for_byte(tmp_path: Path, chunks: list[bytes]) -> None:
    path = tmp_path / "spool"
    path.unlink(missing_ok=True)
    lines = Lines(Kind.STDOUT)
    writer = Writer(path)
    for chunk in chunks:
        writer.append(lines.feed(chunk))
    writer.append(lines.finish())
    writer.close()
    reader = Reader(path)
    records = []
    while batch := reader.read():
        records += batch
    reader.close()
    assert b"".join(record.raw for record in records) == b"".join(chunks)
    assert all(len(record.payload) <= LINE_BYTES for record in records)
    assert all(b"\n" not in record.payload for record in records)


def test_a_long_line_is_cut_and_only_its_last_piece_is_closed() -> None:
    lines = Lines(Kind.STDERR)
    entries = lines.feed(b"z" * (2 * LINE_BYTES)) + lines.feed(b"z\nnext\nrest") + lines.finish()
    assert [(kind, len(payload)) for kind, payload in entries] == [
        (Kind.STDERR | OPEN, LINE_BYTES),
        (Kind.STDERR | OPEN, LINE_BYTES),
        (Kind.STDERR, 1),
        (Kind.STDERR, 4),
        (Kind.STDERR | OPEN, 4),
    ]
