"""Rows of the table of results on the spectra of GANs: bias and weight of consensus, edge of stability, forecast."""

from pathlib import Path

import numpy as np
from harness.intervals import fraction
from theory import best_gamma, consensus_bias, edge_of_stability, forecast

from claims import FAILS, HOLDS, OPEN, Row, read

NEAR = 0.05  # what "as predicted" means here
FEW = 1.1  # times the fewest steps


def bias(out: Path) -> list[Row]:
    """The fixed point of consensus on batches."""
    results = read(consensus_bias.STUDY, consensus_bias.PAGE, out)
    found = [results.estimate(cell, "difference") for cell in results.study.cells]
    within = all(one.low >= 1 - NEAR and one.high <= 1 + NEAR for one in found)
    outside = any(one.low > 1 + NEAR or one.high < 1 - NEAR for one in found)
    means = [one.mean for one in found]
    return [
        Row(
            f"On batches consensus rests where half the trace of the covariance predicts, within {100 * NEAR:g} %",
            "ours",
            f"{min(means):.3f} to {max(means):.3f} of it in {len(found)} cells",
            len(results.study.seeds),
            HOLDS if within else FAILS if outside else OPEN,
            "consensus_bias",
        )
    ]


def weight(out: Path) -> list[Row]:
    """The best weight of consensus from eigenvalues."""
    results = read(best_gamma.STUDY, best_gamma.PAGE, out)
    rows = []
    for where, words in (("start", "the start"), ("end", "where the best run ends")):
        times = np.concatenate([results.values(cell, f"times {where}") for cell in results.study.cells])
        near = fraction(int((times <= FEW).sum()), len(times))
        rows.append(
            Row(
                f"The weight of consensus of least radius by J at {words} needs at most a tenth more steps than the "
                "best, in more than half of the runs",
                "ours",
                f"{near} of the runs",
                len(results.study.seeds),
                HOLDS if near.low > 0.5 else FAILS if near.high < 0.5 else OPEN,
                "best_gamma",
            )
        )
    return rows


def forecasts(out: Path) -> list[Row]:
    """The radius of the update as a forecast."""
    results = read(forecast.STUDY, forecast.PAGE, out)
    found, seeds = forecast.areas(results), len(results.study.seeds)
    area, aim = found["held"], forecast.AIM
    verdict = HOLDS if area.low >= aim else FAILS if area.high < aim else OPEN
    claim = f"The update's radius at step 200 forecasts failures 500 steps later: area under the ROC curve of {aim}"
    rows = [Row(claim, "ours, preregistered", str(area), seeds, verdict, "forecast")]
    for name in forecast.BASELINES:
        more = found[f"held - {name}"]
        verdict = HOLDS if more.low > 0 else FAILS if more.high < 0 else OPEN
        claim = f"It forecasts them better than the {forecast.SCORES[name]} does"
        rows.append(Row(claim, "ours, preregistered", f"area {more} more", seeds, verdict, "forecast"))
    return rows


def edge(out: Path) -> list[Row]:
    """The edge of stability."""
    results = read(edge_of_stability.STUDY, edge_of_stability.PAGE, out)
    late = np.concatenate([results.values(cell, "late discriminator") for cell in results.study.cells])
    low, high = edge_of_stability.AT_EDGE
    at = fraction(int(((low <= late) & (late <= high)).sum()), len(late))
    claim = (
        f"Under RMSProp the discriminator's largest Re of h D^-1 J ends at {low:g} to {high:g} of its bound 2, in more "
        "than half of the runs on ring8"
    )
    verdict = HOLDS if at.low > 0.5 else FAILS if at.high < 0.5 else OPEN
    seeds = len(results.study.seeds)
    return [Row(claim, "arXiv:2207.14484, of classifiers", f"{at} of the runs", seeds, verdict, "edge_of_stability")]


def theory_of_gans(out: Path) -> list[Row]:
    """What the spectra of GANs were asked."""
    return [*bias(out), *weight(out), *edge(out), *forecasts(out)]
