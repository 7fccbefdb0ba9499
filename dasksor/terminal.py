"""What all commands share: their errors, options of more than one kind, clusters, JSON."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from distributed import Client, LocalCluster, performance_report

from dasksor.dashboard.live import link_of, wire_to

FILE = click.Path(path_type=Path)


class InputError(click.ClickException):
    """Bad input: one line, no traceback."""

    exit_code = 2


class WordOr(click.ParamType):
    """One of a few words that stand for values of their own, or a number where one is allowed."""

    def __init__(self, number: type | None, **words: Any) -> None:
        self._number, self._words = number, words
        kinds: dict[type | None, tuple[str, ...]] = {int: ("integer",), float: ("number",)}
        self.name = "|".join((*words, *kinds.get(number, ())))

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value in self._words:
            return self._words[value]
        if self._number:
            with contextlib.suppress(ValueError):
                return self._number(value)
        self.fail(f"{value!r} is none of {self.name}", param, ctx)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        raise InputError(" ".join(str(error).split())) from error
    except RuntimeError as error:
        raise click.ClickException(" ".join(str(error).split())) from error


@contextlib.contextmanager
def cluster(workers: int | None, *, has_page: bool = False) -> Iterator[Client | None]:
    """Worker processes; with ``has_page`` says where their dashboard shows the solve."""
    if workers is None:
        yield None
        return
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0" if has_page else None,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        if has_page:
            wire_to(client)
            click.echo(f"{link_of(client)} shows the solve while it runs", err=True)
        yield client


@contextlib.contextmanager
def profiled(client: Client | None, path: Path | None) -> Iterator[None]:
    """Write Dask's performance report of the ``with`` block to ``path``."""
    if client is None or path is None:
        yield
        return
    with client.as_current(), performance_report(str(path), mode="inline"):
        yield
    click.echo(f"performance report written to {path}", err=True)


def check_output(output: Path | None) -> None:
    # Found out now, not when the work is done.
    if output and (output.is_dir() or not output.absolute().parent.is_dir()):
        raise FileNotFoundError(f"cannot write {output}: give a file in an existing folder")


def as_json_text(content: dict[str, Any]) -> str:
    # A residual that is not finite, after divergence, becomes null: JSON has no word for it.
    plain = json.loads(json.dumps(content), parse_constant=lambda _: None)
    return json.dumps(plain, indent=2)
