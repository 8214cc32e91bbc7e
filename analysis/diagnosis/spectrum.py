"""What the spectrum of a game's Jacobian says, in sentences: both ends, rotation, and whose the directions are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gantools.analysis.diagnosis.case import Tell
from gantools.analysis.eigen.dense import spectrum
from gantools.analysis.eigen.eigenvalues import eigenvalues
from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.operators.jacobian import hessian, jacobian
from gantools.analysis.stability import stability
from gantools.errors import GantoolsError
from gantools.games.game import Game

DENSE = 300  # parameters up to which all eigenvalues are computed
PRODUCTS = 200  # with the Jacobian, for one end of the spectrum


def leading(A: Any, which: str, tell: Tell) -> Spectrum:
    """Return a few eigenvalues of an operator at one end, all of a small one; `tell` is called after each product."""
    begun, whole = A.matvecs, A.n <= DENSE
    A.told = lambda made: tell("products", made - begun, max(A.n if whole else PRODUCTS, made - begun))
    try:
        return spectrum(A, vectors=True) if whole else eigenvalues(A, 2, which=which, tol=1e-3, max_matvecs=PRODUCTS)
    finally:
        A.told = None


def rotation_of(game: Game, batch: Any, tell: Tell) -> tuple[float, complex]:
    r"""Return the largest $|\mathrm{Im}\lambda / \mathrm{Re}\lambda|$ among leading eigenvalues of J, and that one.

    Leading are those of at least a tenth of the largest modulus: small ones turn without consequence.
    """
    try:
        J = jacobian(game, batch)
        s = leading(J, "LI", tell)
    except GantoolsError:
        return 0.0, 0j
    values = [complex(v) for v, good in zip(s.values.tolist(), s.converged.tolist(), strict=True) if good]
    largest = max(map(abs, values), default=0.0)
    ratios = [(abs(v.imag) / max(abs(v.real), 1e-12 * largest), v) for v in values if abs(v) >= 0.1 * largest > 0]
    return max(ratios, key=lambda pair: pair[0], default=(0.0, 0j))


def sentences(game: Game, batch: Any, tell: Tell) -> tuple[list[str], dict[str, float]]:
    """Return what the spectrum at the present point says, and its numbers by name."""
    try:
        J = jacobian(game, batch)
        ends = {which: leading(J, which, tell) for which in ("SR", "LR")}
    except GantoolsError as error:
        return [f"it was not computed: {error}"], {}
    said, numbers = [], {}
    for which, words in (("SR", "smallest"), ("LR", "largest")):
        s = ends[which]
        good = [i for i, converged in enumerate(s.converged.tolist()) if converged]
        if not good:
            said.append(f"its {words} real part did not converge in {s.matvecs} products.")
            continue
        best = (min if which == "SR" else max)(good, key=lambda i, s=s: s.values[i].real)
        value = complex(s.values[best])
        numbers[which] = value.real
        said.append(f"the {words} real part is {value.real:.3g}{within(s, best)}{_whose(game, s, best)}.")
    low = ends["SR"]
    if low.converged.any():
        said.append(f"for plain gradient steps at this point: {stability(low)}")
    return [*said, *_blocks(game, batch, numbers, tell)], numbers


def within(s: Spectrum, index: int) -> str:
    """Return the error bound of an eigenvalue where it reaches the three digits that are shown, else nothing."""
    error = float(s.errors[index])
    return f" within {error:.1g}" if error > 5e-4 * abs(s.values[index].real) and error > 1e-12 * s.scale else ""


def _whose(game: Game, s: Spectrum, index: int) -> str:
    """Return whose direction an eigenvector is: the players' and the heaviest layer's share of its squared length."""
    if s.vectors is None:
        return ""
    weight: Tensor = s.vectors[:, index].abs().square()
    shares = {player: float(weight[part].sum()) for player, part in game.slices.items()}
    layers: dict[str, float] = {}
    for name, place in zip(game.named_parameters(), game.layout.places, strict=True):
        layer = name.rpartition(".")[0]
        layers[layer] = layers.get(layer, 0.0) + float(weight[place].sum())
    top = max(layers, key=lambda layer: layers[layer])
    words = ", ".join(f"{player} {share:.0%}" for player, share in shares.items())
    more = f"; most of it in {top}, {layers[top]:.0%}" if top not in game.slices else ""
    return f" (its direction: {words}{more})"


def _blocks(game: Game, batch: Any, numbers: dict[str, float], tell: Tell) -> list[str]:
    """Return for each player whether its own loss curves upwards: whether it stands at a minimum, given the others."""
    said = []
    for player in game.slices if len(game.slices) > 1 else ():
        s = leading(hessian(game, batch, player=player), "SR", tell)
        if not s.converged.any():
            continue
        least = float(s.values.real[s.converged].min())
        numbers[f"{player} least curvature"] = least
        small = abs(least) <= 1e-6 * max(s.scale, torch.finfo(torch.float64).tiny)
        kind = (
            "flat in some direction"
            if small
            else "curved upwards everywhere"
            if least > 0
            else "at a saddle or a maximum"
        )
        said.append(f"the block of {player} has the least eigenvalue {least:.3g}: it is {kind} here.")
    return said
