"""Between processes of one machine: shared memory for the messages, a socket as bell.

Each pair of hosts has a connection of Unix sockets. Its first byte brings the descriptor of a
segment, every further byte says that there is something new in it, and its end frees it. A host
that posts something larger than what it has room for makes another segment, with a connection of
its own. Sockets and segments belong to processes only, so the kernel takes them back from a
worker that is killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import selectors
import socket
import struct
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dasksor.mailbox.inbox import Inbox
from dasksor.mailbox.segment import LINE, Segment, Window, frames_of, size_of, space_for
from dasksor.messages import Peer

BELL = b"!"
# Pages that nobody touches take no memory, so there is room for slots that come later.
SPARE = 8
SMALLEST = 1 << 20
BELLS_AT_ONCE = 4096
TOO_MANY = "too many open files for mailbox 'shared': raise ulimit -n or use mailbox='direct'"


def _address(run: str, host: int) -> str:
    # The leading zero byte keeps the name out of the file system.
    return f"\0{run}-{host}"


def ground() -> str:
    """What processes must have in common to use this mailbox; empty where nobody can."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return ""
    try:
        os.close(os.memfd_create("dasksor-probe"))
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(f"\0dasksor-probe-{uuid.uuid4().hex}")
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        # Socket names belong to a network namespace, user numbers to a user namespace.
        spaces = [os.stat(f"/proc/self/ns/{kind}").st_ino for kind in ("net", "user")]
    except (AttributeError, OSError):
        return ""
    return "-".join(map(str, (boot, *spaces, os.geteuid())))


def _is_ours(connection: socket.socket) -> bool:
    """Whether the other end runs for the same user: what comes from there is unpickled."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return struct.unpack("3i", credentials)[1] == os.geteuid()


class _Ear:
    """A thread that sleeps until a bell rings, then moves what is new into the inbox."""

    def __init__(self, address: str, inbox: Inbox) -> None:
        self._inbox = inbox
        self._windows: dict[Any, Window | None] = {}
        self._failure: BaseException | None = None
        self._closing = False
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            self._listener.bind(address)
            self._listener.listen(socket.SOMAXCONN)
        except BaseException:
            self._listener.close()
            raise
        self._thread = threading.Thread(target=self._listen, name=f"{address[1:]}-ear", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what ended the listening, if anything did."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _listen(self) -> None:
        try:
            with self._listener, selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                while not self._closing:
                    for key, _ in selector.select():
                        if key.fileobj is not self._listener:
                            self._hear(selector, key.fileobj)
                        elif not self._closing:
                            self._accept(selector)
        except BaseException as error:
            if not self._closing:
                self._failure = error
        finally:
            for connection in list(self._windows):
                self._part(connection)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        connection, _ = self._listener.accept()
        if not _is_ours(connection):
            connection.close()
            return
        connection.setblocking(False)
        self._windows[connection] = None
        selector.register(connection, selectors.EVENT_READ)

    def _hear(self, selector: selectors.BaseSelector, connection: Any) -> None:
        try:
            bells, descriptors, _, _ = socket.recv_fds(connection, BELLS_AT_ONCE, 1)
        except BlockingIOError:
            return
        except ConnectionError:
            bells, descriptors = b"", []
        if descriptors:
            self._windows[connection] = Window(descriptors[0])
        window = self._windows[connection]
        if window is not None:
            self._inbox.put(window.news())
        elif bells:
            raise OSError(errno.EMFILE, TOO_MANY)
        if not bells:
            selector.unregister(connection)
            self._part(connection)

    def _part(self, connection: Any) -> None:
        window = self._windows.pop(connection)
        connection.close()
        if window is not None:
            window.close()


class _Line:
    """A segment with its bell; raises ConnectionError where the reader is gone."""

    def __init__(self, name: str, address: str, size: int) -> None:
        self._bell = socket.socket(socket.AF_UNIX)
        self._bell.setblocking(False)
        try:
            self._bell.connect(address)
            if not _is_ours(self._bell):
                raise ConnectionRefusedError(f"{address[1:]} belongs to another user")
            self.segment = Segment(name, size)
        except BaseException:
            self._bell.close()
            raise
        try:
            socket.send_fds(self._bell, [BELL], [self.segment.descriptor])
        except BaseException:
            self.close()
            raise
        finally:
            self.segment.forget_descriptor()

    def ring(self) -> None:
        # Where no bell fits in, the reader has many still to hear.
        with contextlib.suppress(BlockingIOError):
            self._bell.send(BELL)

    def close(self) -> None:
        self._bell.close()
        self.segment.close()


@dataclass
class _Slot:
    """Where the messages of one slot go, and the age of the newest."""

    line: _Line
    place: int
    room: int
    age: int


class _Edge:
    """The way to one host."""

    def __init__(self, run: str, host: int) -> None:
        self._run, self._address = run, _address(run, host)
        self._lines: list[_Line] = []
        self._slots: dict[tuple, _Slot] = {}

    def post(self, messages: Sequence[Peer]) -> None:
        lines = {id(line): line for line in map(self._write, messages) if line is not None}
        for line in lines.values():
            line.ring()

    def _write(self, message: Peer) -> _Line | None:
        slot = self._slots.get(message.slot)
        if slot is not None and message.age < slot.age:
            return None
        frames = frames_of(message)
        size = size_of(frames)
        if slot is None or slot.room < size:
            # A line more, because the version in the pickled message takes bytes as it rises.
            room = max(size + LINE, 2 * slot.room if slot is not None else 0)
            slot = self._slots[message.slot] = self._make(room)
        slot.age = message.age
        slot.line.segment.write(slot.place, frames)
        return slot.line

    def _make(self, room: int) -> _Slot:
        line = self._lines[-1] if self._lines else None
        place = line.segment.place(room) if line is not None else None
        if line is None or place is None:
            size = max(SMALLEST, SPARE * space_for(room))
            line = _Line(self._run, self._address, size)
            self._lines.append(line)
            place = line.segment.place(room)
            assert place is not None
        return _Slot(line, place, room, age=0)

    def close(self) -> None:
        for line in self._lines:
            line.close()


class SharedMailbox:
    """One host's way to hosts of other processes on its machine, and its ear for them."""

    def __init__(self, run: str, host: int, inbox: Inbox) -> None:
        self._run = run
        self._ear = _Ear(_address(run, host), inbox)
        self._edges: dict[int, _Edge] = {}
        self.messages = self.bytes_sent = 0

    def post(self, host: int, messages: Sequence[Peer]) -> None:
        self._ear.check()
        edge = self._edges.setdefault(host, _Edge(self._run, host))
        try:
            edge.post(messages)
        except (ConnectionError, BlockingIOError):
            # The reader is gone or going; the monitor hears of it from the scheduler.
            self._edges.pop(host).close()
            return
        self.messages += len(messages)
        self.bytes_sent += sum(message.values.nbytes for message in messages)

    def close(self) -> None:
        for edge in self._edges.values():
            edge.close()
        self._ear.close()
