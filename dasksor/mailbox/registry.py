"""The inboxes of the hosts in this process, by run and host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dasksor.mailbox.inbox import Inbox

_inboxes: dict[tuple[str, int], Inbox] = {}


def enter(run: str, host: int, inbox: Inbox) -> None:
    _inboxes[run, host] = inbox


def leave(run: str, host: int) -> None:
    _inboxes.pop((run, host), None)


def deliver(run: str, host: int, messages: Iterable[Any]) -> bool:
    """Put ``messages`` into an inbox of this process; False where that host is gone."""
    inbox = _inboxes.get((run, host))
    if inbox is not None:
        inbox.put(messages)
    return inbox is not None
