"""Random probes of a symmetric operator: run, interrupted, gone on with, and turned into measures."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.estimates.quadrature.known import KnownPart, find_known
from gantools.analysis.estimates.quadrature.measure import ProbeMeasure, pooled
from gantools.analysis.estimates.quadrature.plan import ProbePlan
from gantools.analysis.estimates.quadrature.recurrence import ProbeRecurrence
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError, GantoolsWarning, out_of_memory

Array = NDArray[Any]
Tell = Callable[[int, int], None]  # products made, and planned


def untold(made: int, planned: int) -> None:
    """Tell nobody."""


def draw(A: LinearOperator, seed: int, index: int) -> Tensor:
    """Return the normal probe (n,) of this number."""
    generator = torch.Generator().manual_seed((seed + 1) * 1_000_003 + index)
    return A.space.normal(A.dtype, A.device, generator)


@dataclass(frozen=True)
class ProbedSpectrum:
    """What probes say of a symmetric operator: some eigenvalues one by one, and measures of the rest.

    Attributes:
        n: order of the operator.
        known: leading Ritz values and zero rows, which the measures do not contain.
        measures: of the probes, on the other eigenvalues.
        scale: the largest |eigenvalue| seen.
        epsilon: of the products' dtype.
        products: spent.
        interlacing: whether the nodes are Ritz values of an orthogonal basis, so that they interlace (Cauchy).
        interrupted: whether the work ended before the plan did.
    """

    n: int
    known: KnownPart
    measures: tuple[ProbeMeasure, ...]
    scale: float
    epsilon: float
    products: int
    interlacing: bool
    interrupted: bool

    @property
    def rest(self) -> int:
        """How many eigenvalues the measures are about."""
        return self.known.dimension(self.n)

    @property
    def steps(self) -> int:
        """Steps of the longest probe."""
        return max(len(measure.diagonal) for measure in self.measures)

    def brackets(self, points: Array, steps: int | None = None) -> Array:
        """Return bounds (p, 2) at ascending points (p,), on the probes' pooled measure below and up to each.

        Args:
            points: (p,) ascending: bounds at one hold, as far as they go, at its neighbours.
            steps: use only so many of each probe.
        """
        measures = [measure if steps is None else measure.shortened(steps) for measure in self.measures]
        reach = self.known.reach(points)
        low, high = pooled(measures, np.array([m.brackets(points, reach) for m in measures])).T
        return np.stack([np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1]], axis=-1)


class Probing:
    """Probes of an operator, by a plan.

    Args:
        operator: symmetric.
        plan: how many, how long, and what is kept.
        seed: of all random vectors.
        tell: gets the products made and planned, now and then.
        store: file that the work is kept in, so that a later call adds steps; without one nothing is kept.
    """

    def __init__(
        self,
        operator: LinearOperator,
        plan: ProbePlan,
        seed: int,
        tell: Tell = untold,
        store: Path | None = None,
    ):
        if not operator.symmetric:
            raise GantoolsError(
                "Quadrature needs a symmetric operator; for a Jacobian use eigenvalues() or spectrum()."
            )
        if store is not None and operator.space.shared:
            raise GantoolsError("store= keeps whole vectors, and processes divide these: leave it out.")
        if store is not None and not os.access(store.parent, os.W_OK):
            raise GantoolsError(f"The steps cannot be kept in {store}: give a file in a folder that can be written to.")
        self._operator, self._plan, self._seed, self._tell, self._store = operator, plan, seed, tell, store
        self._groups: list[ProbeRecurrence] = []
        self._known: KnownPart | None = None
        self._begun = operator.matvecs
        self._earlier = 0
        self.interrupted = False

    def run(self, interruptible: bool = False) -> ProbedSpectrum:
        """Carry out the plan and return what it found.

        Args:
            interruptible: return what there is when interrupted (Ctrl-C), where there is any.
        """
        try:
            self._work()
        except KeyboardInterrupt:
            self.interrupted = True
            if not interruptible or not any(group.steps for group in self._groups):
                raise
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            raise GantoolsError(
                f"Memory ran out on {self._operator.device}, during {self._plan}, beside what a product takes. Ask for "
                "fewer probes or leading eigenvectors, or take a smaller batch, or a player or a layer instead of the "
                "whole."
            ) from error
        finally:
            self._save()
        return self._found()

    def _work(self) -> None:
        self._load()
        plan, A = self._plan, self._operator
        if self._known is None:
            A.prepare(plan.products)
            self._known = find_known(A, plan.leading, self._seed, lambda made, *_: self._tell(made, plan.products))
        A.prepare(plan.probes * plan.steps)
        first = 0
        while first < plan.probes:
            together = min(plan.together, plan.probes - first)
            index = first // plan.together
            if index == len(self._groups):
                rows = torch.stack([draw(A, self._seed, first + i) for i in range(together)])
                self._groups.append(ProbeRecurrence(A, rows, self._known, plan.stored))
            self._groups[index].advance(plan.steps, lambda _: self._tell(self._products, plan.products))
            first += together

    @property
    def _products(self) -> int:
        return self._operator.matvecs - self._begun + self._earlier

    def _found(self) -> ProbedSpectrum:
        known, A = self._known, self._operator
        assert known is not None
        measures = [m for group in self._groups if group.steps for m in group.measures()]
        return ProbedSpectrum(
            n=A.n,
            known=dataclasses.replace(known, vectors=None, alive=None),
            measures=tuple(measures),
            scale=max([known.scale, *np.abs(known.values), *(float(np.abs(m.nodes).max()) for m in measures)]),
            epsilon=A.precision,
            products=self._products,
            interlacing=self._plan.stored,
            interrupted=self.interrupted,
        )

    def _save(self) -> None:
        """Write the work so far to the store, if there is one and any work."""
        if self._store is None or self._known is None or not self._groups:
            return
        if not all(np.isfinite(group.off_diagonal).all() for group in self._groups):
            return  # nothing can go on from there
        state = {"n": self._operator.n, "dtype": self._operator.dtype, "seed": self._seed, "products": self._products}
        state |= {name: getattr(self._plan, name) for name in ("stored", "together", "probes")}
        state |= {"known": self._known.state()}
        partial = self._store.with_name(self._store.name + ".part")
        try:
            torch.save(state | {"groups": [group.state() for group in self._groups]}, partial)
            partial.replace(self._store)  # so that an interruption while writing leaves the previous one
        except (OSError, RuntimeError) as error:
            # What was computed is worth more than what could not be kept.
            warnings.warn(f"The steps cannot be kept in {self._store} ({error}).", GantoolsWarning, stacklevel=3)

    def _load(self) -> None:
        path, A = self._store, self._operator
        if path is None or not path.exists():
            return
        try:
            state = torch.load(path, weights_only=True)
            groups, known = state["groups"], state["known"]
            same = (state["n"], state["dtype"], state["seed"]) == (A.n, A.dtype, self._seed)
        except Exception as error:  # a file of another kind fails in as many ways as there are kinds
            raise GantoolsError(f"{path} holds no steps of an estimate to go on with: give another file.") from error
        if same:
            work = {name: state[name] for name in ("stored", "together", "probes")}
            self._plan = dataclasses.replace(self._plan, **work)
            self._known = KnownPart.restored(known, A.device)
            self._groups = [ProbeRecurrence.restored(A, self._known, state["stored"], group) for group in groups]
            self._earlier = state["products"]
        if not same or not self._groups[0].belongs():
            self._store = None  # so that it is not written over
            raise GantoolsError(
                f"{path} holds the steps of another operator, seed or dtype: go on with the same parameters, batch and "
                "seed, or give another file."
            )
