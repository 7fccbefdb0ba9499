"""What a study runs: a grid of cells, from flags, from a TOML file or from Python."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from dasksor.choices import available_cores
from dasksor.options import ACCELERATIONS, AUTO, MAILBOXES
from dasksor.study import problems

NONE = "none"
# Systems whose options are those of `dasksor.solve`; others have none.
OURS = ("dasksor", "dasksor-slow")


@dataclass(frozen=True)
class Cell:
    """One way to solve one problem; None where an option has no meaning.

    Attributes
    ----------
    problem, system, mode : str
    workers : int
    staleness : int or "none" or None
    mailbox, accelerate : str or None
        As for `dasksor.solve`, ``"none"`` for its None.
    """

    problem: str
    system: str
    mode: str
    workers: int
    staleness: int | str | None = None
    mailbox: str | None = None
    accelerate: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Options that have a meaning, as `dasksor.solve` takes them."""
        given = {name: getattr(self, name) for name in ("staleness", "mailbox", "accelerate")}
        return {k: None if v == NONE else v for k, v in given.items() if v is not None}

    def key(self, repeat: int) -> str:
        """The name of one run."""
        mode = self.mode if self.accelerate in (None, AUTO) else f"{self.mode}+{self.accelerate}"
        words = (self.problem, self.system, mode, self.staleness, self.mailbox, self.workers)
        return "|".join("-" if word is None else str(word) for word in words) + f"|#{repeat}"


@dataclass(frozen=True)
class Turn:
    """One run of one cell."""

    cell: Cell
    repeat: int

    @property
    def key(self) -> str:
        return self.cell.key(self.repeat)


@dataclass(frozen=True)
class Product:
    """Every combination of some values, for one system.

    Attributes
    ----------
    problems, modes : tuple of str
    workers : tuple of int
    system : str
        ``"dasksor"``, ``"dasksor-slow"`` (one of its workers is slow), or a peer's name.
    staleness : tuple of int or "none"
    mailboxes, accelerate : tuple of str
        For mode ``"async"`` of dasksor; `accelerate` also for those in this process.
    """

    problems: tuple[str, ...]
    workers: tuple[int, ...] = (1, 2)
    modes: tuple[str, ...] = ("sync", "async")
    system: str = "dasksor"
    staleness: tuple[int | str, ...] = (0, NONE)
    mailboxes: tuple[str, ...] = (AUTO,)
    accelerate: tuple[str, ...] = (AUTO,)

    def cells(self) -> Iterator[Cell]:
        """Of all combinations those that differ in something that has a meaning."""
        for problem, mode, workers, staleness, mailbox, accelerate in product(
            self.problems, self.modes, self.workers, self.staleness, self.mailboxes, self.accelerate
        ):
            yield _collapsed(
                Cell(problem, self.system, mode, workers, staleness, mailbox, accelerate)
            )


@dataclass(frozen=True)
class Grid:
    """A study's cells, and how each is run.

    Attributes
    ----------
    products : tuple of Product
    repeats : int
        Runs of each cell.
    rtol : float
        The relative residual that all systems stop at.
    timeout : float
        Seconds for a run.
    seed : int
        Of the order in which cells are run.
    name : str
    """

    products: tuple[Product, ...]
    repeats: int = 3
    rtol: float = 1e-6
    timeout: float = 60.0
    seed: int = 0
    name: str = "study"

    @classmethod
    def of(cls, *products: Product, **how: Any) -> Grid:
        """A grid that has been checked.

        Raises
        ------
        ValueError, FileNotFoundError
            With the value, and what would do.
        """
        grid = cls(tuple(products), **how)
        for one in grid.products:
            _check_product(one)
        if not grid.products:
            raise ValueError("the grid is empty: give a problem")
        if grid.repeats < 1:
            raise ValueError(f"repeats must be at least 1, got {grid.repeats}")
        if not 0.0 < grid.rtol < 1.0:
            raise ValueError(f"rtol must lie in (0, 1), got {grid.rtol}")
        if not grid.timeout > 0.0:
            raise ValueError(f"timeout must be a positive number of seconds, got {grid.timeout}")
        return grid

    @classmethod
    def read(cls, path: str | Path) -> Grid:
        """The grid of a TOML file.

        Keys of a `Product` may stand at the top, for all, or in tables ``[[products]]``, which
        take what they lack from the top.

        Raises
        ------
        ValueError, FileNotFoundError
            Not TOML, unknown keys, or as for `of`.
        """
        try:
            content = tomllib.loads(Path(path).read_text("utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path} is not TOML: {error}") from error
        how = {f.name for f in fields(cls)} - {"products"}
        common = {k: v for k, v in content.items() if k not in how | {"products"}}
        tables = [common | table for table in content.get("products", [{}])]
        made = [_product(table, path) for table in tables]
        return cls.of(*made, **{k: v for k, v in content.items() if k in how})

    def cells(self) -> list[Cell]:
        """Each once."""
        return list(dict.fromkeys(cell for one in self.products for cell in one.cells()))

    @property
    def systems(self) -> list[str]:
        return list(dict.fromkeys(one.system for one in self.products))

    def to_dict(self) -> dict[str, Any]:
        """As lists, numbers and words, for JSON."""
        return {k: _plain(v) for k, v in asdict(self).items()}


def _collapsed(cell: Cell) -> Cell:
    """Without what its mode has no use for."""
    if cell.system not in OURS or cell.mode == "sync":
        cell = replace(cell, staleness=None, mailbox=None, accelerate=None)
    elif cell.mode == "message":
        cell = replace(cell, staleness=None, accelerate=None)
    elif cell.mode != "async":
        # Mode threads knows accelerated solves only.
        plain = cell.mode == "threads" and cell.accelerate == NONE
        kept = AUTO if plain else cell.accelerate
        cell = replace(cell, staleness=None, mailbox=None, accelerate=kept)
    elif cell.staleness != NONE:
        cell = replace(cell, accelerate=None)
    fixed = {"sequential": 1, "threads": available_cores()}
    return replace(cell, workers=fixed.get(cell.mode, cell.workers))


def _product(table: dict[str, Any], path: str | Path) -> Product:
    names = [f.name for f in fields(Product)]
    unknown = sorted(set(table) - set(names))
    if unknown:
        raise ValueError(f"{path}: unknown key {unknown[0]!r}: give some of {', '.join(names)}")
    if "problems" not in table:
        raise ValueError(f"{path}: no problems: give problems = ['dense:1000'], say")
    listed = {k: tuple(v) if isinstance(v, list) else (v,) for k, v in table.items()}
    return Product(**listed | {"system": table.get("system", "dasksor")})


def _check_product(one: Product) -> None:
    for field in fields(one):
        if field.name != "system" and not getattr(one, field.name):
            raise ValueError(f"{field.name} is empty: give at least one value")
    for name in one.problems:
        problems.check(name)
    for number in one.workers:
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"workers must be integers of at least 1, got {number!r}")
    for value in one.staleness:
        if value != NONE and not (isinstance(value, int) and value >= 0):
            raise ValueError(f"staleness must be integers >= 0 or 'none', got {value!r}")
    _check_words("mailbox", one.mailboxes, MAILBOXES)
    _check_words("accelerate", one.accelerate, tuple(a or NONE for a in ACCELERATIONS))


def _check_words(name: str, words: Sequence[str], known: Sequence[str]) -> None:
    for word in words:
        if word not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {word!r}")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
