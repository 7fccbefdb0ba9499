"""Memory of two processes that holds the newest message of each slot; neither side ever waits.

All numbers are aligned words of 8 bytes, and everything starts on a cache line of its own. Word 0
says how many bytes are in use. From line 1 on there are places, one for each slot: a line with a
sequence number and the room of a cell, then two cells that are written in turn, so that the last
complete message stays readable while the next one is written. A cell is a table (bytes used,
number of frames, length of each frame) and the frames: the pickled message, then its arrays.

The sequence number is odd while a message is being written, and rises by two with each message.
"""

from __future__ import annotations

import mmap
import os
import pickle
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

LINE = 64
WORD = 8
SEQUENCE, ROOM = 0, 1
# Smaller cells are not worth the trouble of `Window._lend`.
REUSED = 1 << 15


def _in_lines(nbytes: int) -> int:
    return -(-nbytes // LINE) * LINE


def frames_of(message: Any) -> list[memoryview]:
    """The message as table, pickle and arrays; the arrays are not copied."""
    arrays: list[pickle.PickleBuffer] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
    frames = [memoryview(head), *(array.raw() for array in arrays)]
    sizes = [frame.nbytes for frame in frames]
    table = [0, len(frames), *sizes]
    table[0] = _in_lines(len(table) * WORD) + sum(map(_in_lines, sizes))
    words = b"".join(word.to_bytes(WORD, "little") for word in table)
    return [memoryview(words), *frames]


def size_of(frames: list[memoryview]) -> int:
    """The bytes that the frames of one message take in a cell."""
    return sum(_in_lines(frame.nbytes) for frame in frames)


def space_for(room: int) -> int:
    """The bytes that a place with this room in each cell takes in a segment."""
    return LINE + 2 * room


class _Mapped:
    """A mapping seen as bytes and as words."""

    def __init__(self, mapping: mmap.mmap) -> None:
        self._mapping = mapping
        self._bytes = memoryview(mapping)
        self._words = self._bytes.cast("Q")

    def _cell(self, place: int, turn: int) -> int:
        return place + LINE + turn % 2 * self._words[place // WORD + ROOM]

    def close(self) -> None:
        self._words.release()
        self._bytes.release()
        self._mapping.close()


class Segment(_Mapped):
    """The writer's side. ``name`` only tells people whose memory it is.

    The memory has no name that another process could open: readers get its file descriptor, and
    it is gone with the last process that maps it, killed or not.
    """

    def __init__(self, name: str, size: int) -> None:
        self.descriptor = os.memfd_create(name)
        try:
            os.ftruncate(self.descriptor, _in_lines(size))
            super().__init__(mmap.mmap(self.descriptor, _in_lines(size)))
        except BaseException:
            os.close(self.descriptor)
            raise
        self._fence = threading.Lock()
        self._words[0] = LINE

    def forget_descriptor(self) -> None:
        """Close the descriptor; the mapping stays."""
        os.close(self.descriptor)

    def place(self, room: int) -> int | None:
        """A new place for messages of up to ``room`` bytes; None where the segment is full."""
        place = self._words[0]
        if place + space_for(room) > len(self._bytes):
            return None
        self._words[place // WORD + ROOM] = room
        self._words[0] = place + space_for(room)
        return place

    def write(self, place: int, frames: list[memoryview]) -> None:
        """Put a message, no larger than the room, into a place."""
        at = place // WORD + SEQUENCE
        sequence = self._words[at]
        self._words[at] = sequence + 1
        # Assumed is the memory model of x86-64: an aligned word is stored whole, stores become
        # visible in their order, loads are done in theirs. Only the streaming stores of a large
        # copy may overtake what is stored before them; taking a lock is a locked instruction,
        # which no store passes.
        with self._fence:
            start = self._cell(place, sequence // 2)
            for frame in frames:
                self._bytes[start : start + frame.nbytes] = frame
                start += _in_lines(frame.nbytes)
        self._words[at] = sequence + 2


class Window(_Mapped):
    """The reader's side of the segment behind ``descriptor``, which is closed."""

    def __init__(self, descriptor: int) -> None:
        try:
            super().__init__(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
        finally:
            os.close(descriptor)
        self._seen: dict[int, int] = {}
        self._spare: dict[int, list[bytearray]] = defaultdict(list)
        self._end = LINE

    def news(self) -> Iterator[Any]:
        """The newest message of each slot that has one not read before."""
        while self._end < self._words[0]:
            self._seen[self._end] = 0
            self._end += space_for(self._words[self._end // WORD + ROOM])
        for place in self._seen:
            cell = self._copy(place)
            if cell is not None:
                yield _message_in(cell)

    def _copy(self, place: int) -> memoryview | None:
        at = place // WORD + SEQUENCE
        written = self._words[at] // 2
        if written == self._seen[place]:
            return None
        start = self._cell(place, written - 1)
        used = self._words[start // WORD]
        cell = self._lend(self._words[place // WORD + ROOM])[:used]
        cell[:] = self._bytes[start : start + used]
        if self._words[at] > 2 * written + 2:
            # The writer came round to this cell meanwhile. To read again at once could go on for
            # ever; a bell for what is written now follows.
            return None
        self._seen[place] = written
        return cell

    def _lend(self, room: int) -> memoryview:
        """Memory that comes back when the last array in it is gone.

        Fresh memory has to be mapped page by page, which for 800 kB takes longer than the copy:
        Dask lets its workers hand freed memory back to the system at once.
        """
        if room < REUSED:
            return memoryview(bytearray(room))
        spare = self._spare[room]
        memory = spare.pop() if spare else bytearray(room)
        loan = np.frombuffer(memory, np.uint8)
        weakref.finalize(loan, spare.append, memory).atexit = False
        return loan.data


def _message_in(cell: memoryview) -> Any:
    words = cell.cast("Q")
    sizes = words[2 : 2 + words[1]].tolist()
    start = _in_lines((2 + len(sizes)) * WORD)
    frames = []
    for size in sizes:
        frames.append(cell[start : start + size])
        start += _in_lines(size)
    return pickle.loads(frames[0], buffers=frames[1:])
