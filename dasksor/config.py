"""dasksor's defaults in Dask's configuration; read when they are used, never at import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import yaml
from dask.utils import parse_timedelta

_DEFAULTS = Path(__file__).with_name("dasksor.yaml")


def register() -> None:
    """Add the defaults beneath what the user has set in files, environment or code."""
    with _DEFAULTS.open() as file:
        dask.config.update_defaults(yaml.safe_load(file))


def get(key: str) -> Any:
    return dask.config.get(f"dasksor.{key}")


def seconds(key: str) -> float:
    return float(parse_timedelta(get(key)))
