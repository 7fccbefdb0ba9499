"""The newest message of each slot, for one reader."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any


def keep_newest(held: dict[tuple, Any], messages: Iterable[Any]) -> None:
    """Take ``messages`` into ``held``, where each slot keeps the message of the highest age."""
    for message in messages:
        old = held.get(message.slot)
        if old is None or message.age >= old.age:
            held[message.slot] = message


class Inbox:
    """Thread-safe; a slow reader finds only the newest message of each slot, so it never grows."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._messages: dict[tuple, Any] = {}

    def put(self, messages: Iterable[Any]) -> None:
        with self._arrived:
            keep_newest(self._messages, messages)
            self._arrived.notify()

    def take(self, timeout: float = 0.0) -> list[Any]:
        """Everything that has come, waiting up to ``timeout`` seconds for a first message."""
        with self._arrived:
            if not self._messages and timeout > 0:
                self._arrived.wait(timeout)
            messages, self._messages = self._messages, {}
        return list(messages.values())
