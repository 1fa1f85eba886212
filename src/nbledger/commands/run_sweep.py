"""The words of ``run`` that ask for a sweep: a grid, a random sample of it, or a search."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import click

from nbledger.core.errors import UsageError


@dataclass(frozen=True)
class Asked:
    """A sweep as it was asked for on the command line."""

    sweep: tuple[str, ...] = ()
    sample: int | None = None
    search: str | None = None
    maximize: str = ""
    minimize: str = ""
    trials: int | None = None
    seed: int | None = None
    prune: str | None = None

    @property
    def said(self) -> dict[str, object]:
        """The options that were given, by their names on the command line."""
        return {
            f"--{one.name}": value for one in fields(self) if (value := getattr(self, one.name)) not in ((), None, "")
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that are swept."""
        from nbledger.core import sweep

        return tuple(axis.name for axis in sweep.axes(self.sweep))

    def tables(self, tables: Sequence[Mapping[str, Any]], notebooks: int = 1) -> list[dict[str, Any]]:
        """The sets of parameters that a notebook is run with: each of ``tables`` at each point of the sweep; of a search, one a
        trial, to which it adds what it chooses. ``UsageError`` where the words do not go together.
        """
        from nbledger.core import sweep

        self._check()
        axes = sweep.axes(self.sweep)
        for axis in axes:
            if any(axis.name in table for table in tables):
                raise UsageError(f"{axis.name} is swept, and set by -p or --params", "leave one of them out")
        if self.search:
            if notebooks > 1 or len(tables) > 1:
                raise UsageError("a search runs one notebook with one set of parameters", "search in each by itself")
            points, trials = sweep.size(axes), self.trials or 0
            if points is not None and trials > points:
                raise UsageError(
                    f"--trials {trials}: the sweep has {points} points", "leave --search out to run all of them"
                )
            return [dict(tables[0]) for _ in range(trials)]
        if self.sample is not None:
            found = sweep.sample(axes, self.sample, self._seed)
        else:
            found = sweep.grid(axes, len(tables) * notebooks)
        return [{**table, **point} for table in tables for point in found]

    def kept(self) -> Mapping[str, Any] | None:
        """The sweep as the batch keeps it; None where none was asked for."""
        if not self.said:
            return None
        from nbledger.core import sweep

        method = "optuna" if self.search else "sample" if self.sample is not None else "grid"
        return asdict(
            sweep.Search(
                said=self.sweep,
                swept=self.names,
                method=method,
                metric=self.maximize or self.minimize,
                maximize=not self.minimize,
                trials=self.trials or self.sample or 0,
                seed=self._seed if self.search or self.sample is not None else None,
                prune=self.prune or "",
            )
        )

    @functools.cached_property
    def _seed(self) -> int:
        """The seed that was given, or one that is noted, so that the same points can be had again."""
        import secrets

        return self.seed if self.seed is not None else secrets.randbelow(1 << 31)

    def _check(self) -> None:
        from nbledger.core.sweep import PRUNERS

        if self.maximize and self.minimize:
            raise UsageError("--maximize and --minimize ask for both", "leave one of them out")
        if self.prune is not None and self.prune not in PRUNERS:
            raise UsageError(
                f"--prune {self.prune}: no such rule", f"one of {', '.join(PRUNERS)}; notebooks go before it"
            )
        metric = self.maximize or self.minimize
        rules = (
            (self.sample and not self.sweep, "--sample takes some points of a sweep", "add --sweep NAME=VALUES"),
            (self.search and not self.sweep, "--search needs to know what to vary", "add --sweep NAME=FROM..TO"),
            (self.search and self.sample, "--search and --sample both choose the points", "leave one of them out"),
            (self.search and not metric, "--search needs to know what is good", "add --maximize or --minimize METRIC"),
            (self.search and not self.trials, "--search needs to know how often it may try", "add --trials N"),
            (self.trials and not self.search, "--trials goes with --search optuna", "a sample is --sample N"),
            (self.seed is not None and not (self.search or self.sample), "--seed: nothing is drawn", "leave it out"),
            (self.prune and not metric, "--prune needs a series to follow", "add --maximize or --minimize METRIC"),
        )
        for wrong, said, hint in rules:
            if wrong:
                raise UsageError(said, hint)
        if self.search or self.prune:
            from nbledger.core import search

            search.require()


def sweep_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; ``function`` gets them as one ``Asked``, named ``sweep``."""

    @click.option("--sweep", multiple=True, metavar="K=A,B,C|A..B", help="Run with each of these values.")
    @click.option("--sample", type=click.IntRange(min=1), metavar="N", help="N random points of the sweep.")
    @click.option("--search", type=click.Choice(["optuna"]), help="Choose the points by what the others gave.")
    @click.option("--maximize", default="", metavar="METRIC", help="What is good: much of this.")
    @click.option("--minimize", default="", metavar="METRIC", help="What is good: little of this.")
    @click.option("--trials", type=click.IntRange(1, 100_000), metavar="N", help="How often a search may try.")
    @click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Draw the same points again.")
    @click.option(
        "--prune", is_flag=False, flag_value="median", metavar="[RULE]", help="Stop hopeless notebooks (median)."
    )
    @functools.wraps(function)
    def asked(*args: Any, **words: Any) -> Any:
        said = {one.name: words.pop(one.name) for one in fields(Asked)}
        return function(*args, sweep=Asked(**said), **words)

    return asked
