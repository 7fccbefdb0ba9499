"""Shared memory with a writer and a reader who do not wait for each other."""

import multiprocessing
import os
import signal
import socket
from typing import NamedTuple

import numpy as np
import pytest
from conftest import memory_and_sockets, needs_shared_memory

from dasksor.mailbox.segment import LINE, Segment, Window, frames_of, size_of, space_for
from dasksor.messages import Halo, Slice

pytestmark = needs_shared_memory


class Letter(NamedTuple):
    """A message that the package has never seen: two arrays and a word."""

    word: str
    values: np.ndarray
    more: np.ndarray


@pytest.fixture
def pair():
    segment = Segment("dasksor-test", 1 << 20)
    window = Window(os.dup(segment.descriptor))
    segment.forget_descriptor()
    yield segment, window
    window.close()
    segment.close()
    assert memory_and_sockets() == []


def letter(k, size=1000):
    return Slice(3, 4, k, np.full(size, float(k)))


def write(segment, place, message):
    segment.write(place, frames_of(message))


def versions(window):
    return [message.version for message in window.news()]


def test_messages_of_any_kind_come_out_as_they_went_in(pair):
    segment, window = pair
    sent = [
        Slice(1, 2, 3, np.arange(7.0)),
        Halo(0, 1, 2, np.empty(0)),
        Letter("\N{GREEK SMALL LETTER OMEGA}", np.arange(6).reshape(2, 3)[:, ::2], np.ones(9, "f")),
        Letter("fortran", np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array(["a", "bc"])),
    ]
    for message in sent:
        frames = frames_of(message)
        write(segment, segment.place(size_of(frames)), message)
    got = list(window.news())
    assert [type(message) for message in got] == [type(message) for message in sent]
    for new, old in zip(got, sent, strict=True):
        for mine, yours in zip(new, old, strict=True):
            np.testing.assert_array_equal(mine, yours)
    assert list(window.news()) == []
    got[0].values[:] = 0.0


def test_only_the_newest_message_of_a_place_is_read_and_only_once(pair):
    segment, window = pair
    first, second = (segment.place(10_000) for _ in range(2))
    assert versions(window) == []
    for k in range(5):
        write(segment, first, letter(k))
    write(segment, second, letter(9))
    assert versions(window) == [4, 9]
    assert versions(window) == []
    write(segment, second, letter(9))
    assert versions(window) == [9]


def test_places_and_arrays_lie_on_cache_lines_of_their_own(pair):
    segment, _ = pair
    rooms = [size_of(frames_of(letter(0, size))) for size in (1, 7, 8, 9, 1000)]
    places = [segment.place(room) for room in rooms]
    assert all(room % LINE == 0 for room in rooms)
    assert all(place % LINE == 0 for place in places)
    spaces = [space_for(room) for room in rooms]
    assert places == [LINE + sum(spaces[:k]) for k in range(5)]


def test_a_full_segment_has_no_place_left(pair):
    segment, _ = pair
    assert segment.place(1 << 20) is None
    assert segment.place(100 * LINE) == LINE


def test_while_a_message_is_written_the_one_before_is_read(pair):
    segment, window = pair
    place = segment.place(10_000)
    write(segment, place, letter(1))
    seen = []

    class Halting(list):
        def __iter__(self):
            for frame in super().__iter__():
                seen.append(versions(window))
                yield frame

    segment.write(place, Halting(frames_of(letter(2))))
    assert seen == [[1], [], []]
    assert versions(window) == [2]


def test_a_reader_that_is_overtaken_drops_what_it_has_copied(pair, monkeypatch):
    segment, window = pair
    place = segment.place(10_000)
    write(segment, place, letter(1))
    lend = window._lend

    def overtaken(room):
        for k in (2, 3):
            write(segment, place, letter(k))
        return lend(room)

    with monkeypatch.context() as patched:
        patched.setattr(window, "_lend", overtaken)
        assert versions(window) == []
    assert versions(window) == [3]


def test_a_writer_that_dies_while_writing_leaves_the_message_before(pair, monkeypatch):
    segment, window = pair
    place = segment.place(10_000)
    write(segment, place, letter(1))
    lend = window._lend

    class Dying(list):
        def __iter__(self):
            yield from self[:2]
            raise EOFError

    def overtaken(room):
        write(segment, place, letter(2))
        with pytest.raises(EOFError):
            segment.write(place, Dying(frames_of(letter(3))))
        return lend(room)

    with monkeypatch.context() as patched:
        patched.setattr(window, "_lend", overtaken)
        assert versions(window) == []
    assert versions(window) == [2]


def test_memory_of_large_messages_is_used_again_when_nobody_holds_them(pair):
    segment, window = pair
    place = segment.place(100_000)
    kept = []
    for k in range(3):
        write(segment, place, letter(k, 10_000))
        kept += window.news()
    for message in kept:
        np.testing.assert_array_equal(message.values, message.version)
    addresses = {message.values.ctypes.data for message in kept}
    assert len(addresses) == 3
    kept.clear()
    del message
    for k in range(3, 9):
        write(segment, place, letter(k, 10_000))
        (only,) = window.news()
        assert only.values.ctypes.data in addresses
        np.testing.assert_array_equal(only.values, k)
        del only


def hammer(connection, size):
    """Write as fast as possible, for ever: each message says in every entry which one it is."""
    segment = Segment("dasksor-test", 1 << 22)
    place = segment.place(size * 8 + 1024)
    values, k = np.empty(size), 0
    while True:
        k += 1
        values[:] = k
        write(segment, place, Slice(0, 1, k, values))
        if k == 1:
            socket.send_fds(connection, [b"!"], [segment.descriptor])


@pytest.mark.parametrize("size", [1, 500, 50_000])
def test_no_message_is_torn_between_processes_nor_lost_by_a_kill(size):
    ours, theirs = socket.socketpair()
    writer = multiprocessing.get_context("spawn").Process(target=hammer, args=(theirs, size))
    writer.start()
    _, (descriptor,), _, _ = socket.recv_fds(ours, 1, 1)
    window, seen = Window(descriptor), []

    def look():
        for message in window.news():
            assert message.values.size == size
            assert (message.values == message.version).all()
            seen.append(message.version)

    try:
        while len(seen) < 2000:
            look()
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    assert seen == sorted(set(seen))
    # Wherever the kill has hit the writer, its last complete message can be read.
    window._seen = dict.fromkeys(window._seen, 0)
    (last,) = window.news()
    assert last.version >= seen[-1]
    assert (last.values == last.version).all()
    del last
    window.close()
    ours.close()
    theirs.close()
    assert memory_and_sockets() == []
