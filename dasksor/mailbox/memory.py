"""Between hosts in one process: the message itself goes into the other's inbox."""

from __future__ import annotations

from collections.abc import Sequence

from dasksor.mailbox.inbox import Inbox
from dasksor.messages import Peer

_inboxes: dict[tuple[str, int], Inbox] = {}


class MemoryMailbox:
    """One host's mailbox; every host of the run opens its own before the first message."""

    def __init__(self, run: str, host: int, inbox: Inbox) -> None:
        self._run, self._key = run, (run, host)
        self.messages = self.bytes_sent = 0
        _inboxes[self._key] = inbox

    def post(self, host: int, messages: Sequence[Peer]) -> None:
        inbox = _inboxes.get((self._run, host))
        if inbox is not None:
            inbox.put(messages)
            self.messages += len(messages)
            self.bytes_sent += sum(message.values.nbytes for message in messages)

    def close(self) -> None:
        _inboxes.pop(self._key, None)
