"""One model analysed as a user would, compared with the oracle, and judged."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import time
import traceback
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import gantools as gt
from compatibility.entries import Entry
from compatibility.oracle import CLEAR, Oracle
from compatibility.untouched import changed, fingerprint
from gantools.batches import is_batch
from gantools.errors import GantoolsError, GantoolsWarning, first_line

DENSE = 160  # parameters up to which the index is compared with all eigenvalues

RIGHT, REMARK, REFUSED = "right", "right, with a remark", "refused, rightly"
WRONG, FALSE, RAW = "silently wrong", "falsely refused", "raw error"
SLOW, TOUCHED = "timed out", "changed the model"
GOOD = (RIGHT, REMARK, REFUSED)


@dataclasses.dataclass
class Result:
    """What came of one entry.

    Attributes:
        name: of the entry.
        package: that its code comes from.
        outcome: one of the sentences above.
        parameters: n.
        error: relative error of a product in float64, NaN where there is none.
        single: relative error of a product in float32 (or in the precision of the configuration).
        index: counts of negative and positive eigenvalues that agree with differences, or "" where n is too large.
        says: the remark, the sentence of a refusal, or the first line of a raw error.
        seconds: of the analysis, without the oracle.
        version: of the package.
        trace: of a raw error.
    """

    name: str
    package: str
    outcome: str
    parameters: int = 0
    error: float = float("nan")
    single: float = float("nan")
    index: str = ""
    says: str = ""
    seconds: float = 0.0
    version: str = ""
    trace: str = ""


class Complaint(Exception):
    """An outcome that is not good."""

    def __init__(self, outcome: str, says: str):
        super().__init__(says)
        self.outcome, self.says = outcome, says


def examine(entry: Entry) -> Result:
    """Return what comes of a model: products in float64 and float32, its index where it is small, what it changed."""
    result = Result(entry.name, entry.package, RIGHT, version=importlib.metadata.version(entry.package))
    oracle = Oracle(entry)
    result.parameters = oracle.size
    u = oracle.direction()
    expected, noise = oracle.product(u)
    definite = oracle.repeats() and noise < CLEAR
    start = time.perf_counter()
    try:
        remarks = _analyse(entry, oracle, u, expected, noise, definite, result)
        if remarks:
            result.outcome, result.says = REMARK, " ".join(remarks)
        if entry.refused:
            result.outcome, result.says = WRONG, f"accepted; it must be refused: {entry.refused}"
    except GantoolsError as error:
        rightly = bool(entry.refused) or not definite
        result.outcome, result.says = REFUSED if rightly else FALSE, str(error)
    except Complaint as complaint:
        result.outcome, result.says = complaint.outcome, complaint.says
    except Exception as error:
        result.outcome, result.says = RAW, f"{type(error).__name__}: {first_line(error)}"
        result.trace = traceback.format_exc()
    result.seconds = time.perf_counter() - start
    return result


def _analyse(
    entry: Entry, oracle: Oracle, u: Tensor, expected: Tensor, noise: float, definite: bool, result: Result
) -> list[str]:
    """Fill the result in, and return what gantools remarked on the way."""
    remarks: list[str] = []
    for dtype in entry.precisions:
        tolerance = entry.tolerance if dtype is torch.float64 else entry.coarse
        net, loss, batch = entry.build(dtype)
        if not runs_by_itself(net, loss, batch, last=dtype is entry.precisions[-1]):
            continue
        before = fingerprint(net)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            H = gt.analysis.hessian(net, loss, batch)
            error = compare(H, u, expected)
            if dtype is entry.precisions[-1] and oracle.size <= DENSE and H.symmetric:
                result.index = compare_index(gt.analysis.index(H), oracle.eigenvalues())
        if touched := changed(before, fingerprint(net)):
            raise Complaint(TOUCHED, ", ".join(touched[:5]))
        said = [*heard(caught), getattr(H, "remark", "")]
        remarks += [text for text in said if text and text not in " ".join(remarks)]
        result.error, result.single = (error, result.single) if dtype is torch.float64 else (result.error, error)
        if not definite:
            raise Complaint(WRONG, f"accepted, but differences cannot tell what the product is (noise {noise:.1e})")
        if not error <= max(tolerance, 3 * H.precision) + 3 * noise:
            raise Complaint(WRONG, f"a product in {dtype} is off by {error:.1e} (noise of differences {noise:.1e})")
    return remarks


def runs_by_itself(net: nn.Module, loss: Any, batch: Any, last: bool) -> bool:
    """Return whether the model has a loss in its precision; some make tensors of float32 by themselves.

    Its first pass leaves the caches and hooks of the package's own in the model, which are no doing of an analysis.
    """
    one = batch if is_batch(batch) else next(iter(batch), None)
    kept = {name: buffer.clone() for name, buffer in net.named_buffers()}
    try:
        with torch.random.fork_rng():
            loss(net, one)
    except Exception as error:
        if last:
            raise Complaint("entry fails", f"{type(error).__name__}: {first_line(error)}") from error
        return False
    with torch.no_grad():
        for name, buffer in net.named_buffers():
            if name in kept:
                buffer.copy_(kept[name])
    return True


def compare(H: Any, u: Tensor, expected: Tensor) -> float:
    """Return the largest relative error of J u with one vector and in a block, and of the transpose against it."""
    u = u.to(H.dtype)
    size = expected.norm().clamp_min(1e-300)
    block = H @ torch.stack([u, -2 * u], dim=1)
    errors = [(product.double() - scale * expected).norm() / (abs(scale) * size) for product, scale in (
        (H @ u, 1.0), (block[:, 0], 1.0), (block[:, 1], -2.0))]  # fmt: skip
    v = torch.randn(len(u), generator=torch.Generator().manual_seed(7)).to(u)
    both = torch.stack([(H.T @ v).double() @ u.double(), v.double() @ expected])
    errors.append((both[0] - both[1]).abs() / (size * v.double().norm() / len(u) ** 0.5))
    return float(torch.stack(errors).max())


def compare_index(index: Any, values: np.ndarray) -> str:
    """Return the counts, or complain where they are not those of the eigenvalues beyond the tolerance."""
    sure, maybe = 3 * index.tolerance, index.tolerance / 3
    text = []
    for name, sign in (("negative", -1), ("positive", 1)):
        low, high = int((sign * values > sure).sum()), int((sign * values > maybe).sum())
        count = round(getattr(index, name) * len(values))
        if not low <= count <= high:
            raise Complaint(WRONG, f"{count} {name} eigenvalues, by differences {low} to {high}")
        text.append(f"{count} {name}")
    return ", ".join(text)


def heard(caught: list[warnings.WarningMessage]) -> list[str]:
    """Return the warnings that gantools gave, not those of packages."""
    return [str(w.message) for w in caught if isinstance(w.message, GantoolsWarning)]
