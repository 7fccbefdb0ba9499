"""Exceptions of dasksor's own; bad input raises Python's TypeError and ValueError."""

from __future__ import annotations

from typing import Any

import numpy as np


class BlockError(RuntimeError):
    """An exception on a worker; the message names the block and what was being done to it."""


class NotConverged(RuntimeError):  # noqa: N818
    """Raised by ``raise_on_failure=True``; its ``result`` is what would have been returned."""

    def __init__(self, result: Any) -> None:
        super().__init__(
            f"{result.message} after {result.sweeps} sweeps: "
            f"residual norm {np.max(result.residual_norm):.3e}"
        )
        self.result = result


class WorkersLostError(RuntimeError):
    """Workers that were counted on are gone; asynchronous solves go on without them."""


class SchedulerLostError(ConnectionError):
    """The client has lost the scheduler while a solve was running."""
