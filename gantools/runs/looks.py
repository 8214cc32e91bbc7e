"""The searches for eigenvalues that a run makes while it trains, each from the vectors that the last one found."""

import time
from typing import Any

import torch

from gantools import analysis
from gantools.analysis import Spectrum
from gantools.runs.experiment import Experiment
from gantools.runs.store.progress import Working, silent

# Of the ends of the spectrum a few values suffice. In a wide basis the end of a cloud is found with a third of the
# products that a basis for two values needs; it is narrower than that of the 20 leading ones.
END_VALUES, END_TOL, END_BASIS, END_PRODUCTS = 2, 1e-2, 96, 400
# Eigenvalues of a step differ from 1 by a learning rate's worth, and their side of the unit circle is asked for.
STEP_TOL, STEP_PRODUCTS = 1e-7, 400
UPDATE = "game/update"
SURE_SECONDS = 1.0  # a product that takes as long is timed once


class TooLong(Exception):
    """A look that would take too long.

    Attributes:
        seconds: that it would take, by the time of a product.
    """

    def __init__(self, seconds: float):
        super().__init__(seconds)
        self.seconds = seconds


def spectra(
    experiment: Experiment,
    step: int,
    last: bool = False,
    limit: float | None = None,
    working: Working | None = None,
) -> dict[str, Spectrum]:
    """Return the spectra of one look by tag, such as "game/jacobian/LM": the selection asked for, and the ends.

    Stability is a matter of the eigenvalue with the smallest real part, which is looked for each time, whatever the
    configuration asks for; at the last step also of that with the largest one. All of them are "game/jacobian".

    Args:
        experiment: the run at the step; its `starts` are used, and replaced.
        step: how many updates led to the point.
        last: whether training ends here.
        limit: seconds that it may take.
        working: shows what is being searched for.

    Raises:
        TooLong: where it would take longer, by the time of one product.
        GantoolsError: where there is no Jacobian.
    """
    config = experiment.config
    jacobian = _jacobian(experiment, step)
    if limit is not None and (seconds := _seconds(jacobian, config.spectrum_k)) > limit:
        raise TooLong(seconds)
    working = working or silent()
    asked = _leading(jacobian, config.spectrum_k, config.spectrum_which, working)
    if asked.complete:
        return {"game/jacobian": asked}
    found = {f"game/jacobian/{config.spectrum_which}": asked}
    for which in ("SR", "LR") if last else ("SR",):
        if which != config.spectrum_which:
            tag = f"game/jacobian/{which}"
            with working.search(jacobian, f"products for {which}") as progress:
                found[tag] = _from_last(experiment, tag, jacobian, which, END_TOL, END_PRODUCTS, progress)
    return found


def _seconds(jacobian: analysis.LinearOperator, k: int) -> float:
    """Return about how long a look takes: all products of a whole matrix, else three bases and one end's search."""
    planned = jacobian.n if k == 0 else min(3 * max(6 * k, 2 * k + 20) + END_PRODUCTS, 2 * jacobian.n)
    one = torch.ones(jacobian.n, dtype=jacobian.dtype, device=jacobian.device)
    times = []
    for _ in range(2):  # the first product of a graph may take longer
        begun = time.perf_counter()
        float((jacobian @ one)[0])  # waits for a device
        times.append(time.perf_counter() - begun)
        if times[0] > SURE_SECONDS:
            break
    return min(times) * planned


def step_spectrum(experiment: Experiment, step: int, working: Working | None = None) -> Spectrum:
    """Return the leading eigenvalues of the optimizer's own step, its state included, on the run's analysis batch."""
    operator = analysis.update_operator(experiment.optimizer, experiment.analysis_batch(step=step))
    with (working or silent()).search(operator, "products for the update") as progress:
        return _from_last(experiment, UPDATE, operator, "LM", STEP_TOL, STEP_PRODUCTS, progress)


def _jacobian(experiment: Experiment, step: int) -> analysis.LinearOperator:
    # Not "auto", which a clock decides: resumed or not, a run has the same spectra to the last bit.
    return analysis.jacobian(experiment.game, experiment.analysis_batch(step=step), method="reverse")


def _leading(operator: analysis.LinearOperator, k: int, which: str, working: Working) -> Spectrum:
    if k == 0:
        with working.products(operator, "products", operator.n):
            return analysis.spectrum(operator)
    with working.search(operator, f"products for {which}") as progress:
        return analysis.eigenvalues(operator, min(k, operator.n), which, progress=progress)


def _from_last(
    experiment: Experiment,
    tag: str,
    operator: analysis.LinearOperator,
    which: str,
    tol: float,
    products: int,
    progress: Any,
) -> Spectrum:
    """Search for a few values of one end, from the vectors that the last search under this tag found."""
    start = experiment.starts.get(tag)
    if start is not None and len(start) != operator.n:
        start = None
    found = analysis.eigenvalues(
        operator,
        min(END_VALUES, operator.n),
        which,
        tol=tol,
        basis=min(END_BASIS, operator.n),
        max_matvecs=products,
        progress=progress,
        start=None if start is None else start.to(operator.device, operator.dtype),
    )
    near = found.start()
    if near is not None and found.converged.any():
        # In the dtype that a checkpoint keeps: resumed or not, the next search starts from the same numbers.
        experiment.starts[tag] = near.to(torch.float32)
    return found
