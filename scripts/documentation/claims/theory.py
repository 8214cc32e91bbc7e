"""Rows of the table of results on the spectra of GANs: bias and weight of consensus, edge of stability, forecast."""

from pathlib import Path

import numpy as np
from harness import study
from harness.intervals import LEVEL, Estimate, difference, fraction, holm
from scipy.stats import binomtest
from theory import best_gamma, consensus_bias, edge_of_stability, forecast, r3gan

from claims import FAILS, HOLDS, OPEN, Row, compared, more_than_half, read

NEAR = 0.05  # what "as predicted" means here
FEW = 1.1  # times the fewest steps
GANS = ("Dirac-GAN", "Gaussian GAN")  # the games whose J changes
NUMBERS = ("no", "one", "two", "three")


def bias(out: Path) -> list[Row]:
    """The fixed point of consensus on batches."""
    results = read(consensus_bias.STUDY, consensus_bias.PAGE, out)
    rows, seeds = [], len(results.study.seeds)
    for column, claim in (
        ("difference", "On batches consensus rests by what half the trace of the covariance predicts further than its "
                       f"unbiased estimator does on the same batches, within {100 * NEAR:g} %"),
        ("same", f"It rests there itself, within {100 * NEAR:g} %"),
    ):  # fmt: skip
        found = [results.estimate(cell, column) for cell in results.study.cells]
        within = all(one.low >= 1 - NEAR and one.high <= 1 + NEAR for one in found)
        alone = sum(one.low > 1 + NEAR or one.high < 1 - NEAR for one in found)
        beyond = any(p < LEVEL for p in holm(farther(results, column)).values())
        means = [one.mean for one in found]
        words = f"{min(means):.3f} to {max(means):.3f} of it in {len(found)} cells"
        if alone:
            words += f", the interval of {alone} outside of that" + (
                "" if beyond else ", not seen once all cells count"
            )
        rows.append(Row(claim, "ours", words, seeds, HOLDS if within else FAILS if beyond else OPEN, "consensus_bias"))
    return rows


def farther(results: study.Results, column: str) -> dict[str, float]:
    """Return by cell the p-value of a mean no farther from 1 than `NEAR`, by the t-test of the nearer end."""
    p = {}
    for cell in results.study.cells:
        values = results.values(cell, column)
        end = 1 + NEAR if values.mean() > 1 else 1 - NEAR
        p[cell] = difference(values - end).p if abs(values.mean() - 1) > NEAR else 1.0
    return p


def weight(out: Path) -> list[Row]:
    """The best weight of consensus from eigenvalues."""
    results = read(best_gamma.STUDY, best_gamma.PAGE, out)
    cells, seeds, rows = results.study.cells, len(results.study.seeds), []
    games = {game: [name for name, cell in cells.items() if cell["game"] == game] for game in GANS}
    rates = len(next(iter(games.values())))
    linear = [name for name, cell in cells.items() if cell["game"] not in GANS]
    # J of a linear game is everywhere the same.
    others = f"; of the linear games {as_good(results, linear, 'start')[0]}"
    left_out = "; a third GAN, of networks, was run and left out"
    drawn = {where: np.concatenate([good_rates(results, own, where) for own in games.values()])
             for where in ("start", "end")}  # fmt: skip
    p = holm({where: by_draws(shares) for where, shares in drawn.items()})
    for where, words, more in (("start", "at the start", others), ("end", "where the best run ends", left_out)):
        claim = f"The weight of consensus of least radius by J {words} needs at most a tenth more steps than the "
        claim += f"best, in more than half of the runs of {NUMBERS[len(GANS)]} small GANs"
        text, near = as_good(results, [name for own in games.values() for name in own], where)
        shares = drawn[where]
        text += (
            f", of {len(shares)} draws at {NUMBERS[rates]} rates each: both in {int((shares == 1).sum())}, neither in "
        )
        text += f"{int((shares == 0).sum())} (sign test, adjusted: p = {p[where]:.2g})"
        verdict = OPEN if p[where] >= LEVEL else HOLDS if near.mean > 0.5 else FAILS
        rows.append(Row(claim, "ours", f"{text}{more}", seeds, verdict, "best_gamma"))
    return rows


def good_rates(results: study.Results, cells: list[str], where: str) -> np.ndarray:
    """Return by draw (seeds,) the share of a game's rates at which a predicted weight needs nearly the fewest steps."""
    return np.mean([results.values(cell, f"times {where}") <= FEW for cell in cells], 0)


def by_draws(shares: np.ndarray) -> float:
    """Return the p-value of the sign test that the shares of draws (n,) are as often above a half as below."""
    above, below = int((shares > 0.5).sum()), int((shares < 0.5).sum())
    return float(binomtest(above, above + below).pvalue) if above + below else 1.0


def as_good(results: study.Results, cells: list[str], where: str) -> tuple[str, Estimate]:
    """Return in how many runs of cells a predicted weight needs nearly the fewest steps, as text and as fraction."""
    times = np.concatenate([results.values(cell, f"times {where}") for cell in cells])
    near = int((times <= FEW).sum())
    part = fraction(near, len(times))
    return f"{near} of {len(times)} runs, {part}", part


def forecasts(out: Path) -> list[Row]:
    """The radius of the update as a forecast."""
    results = read(forecast.STUDY, forecast.PAGE, out)
    score, failed, family = forecast.at_risk(results)
    kept, seeds = {name: score[name] for name in ("held", *forecast.BASELINES)}, len(results.study.seeds)
    drawn = forecast.bootstrap(kept, failed, family)
    areas = {name: forecast.auc(values, failed) for name, values in kept.items()}
    area, aim = forecast.interval(areas["held"], drawn["held"]), forecast.AIM
    verdict = HOLDS if area.low >= aim else FAILS if area.high < aim else OPEN
    claim = f"The update's radius at step 200 forecasts failures 500 steps later: area under the ROC curve of {aim}"
    rows = [Row(claim, "ours, preregistered", str(area), seeds, verdict, "forecast")]
    differences = {name: drawn["held"] - drawn[name] for name in forecast.BASELINES}
    # Two-sided, by the bootstrap.
    adjusted = holm({name: 2 * float(min((d <= 0).mean(), (d >= 0).mean())) for name, d in differences.items()})
    for name, resampled in differences.items():
        more, seen = forecast.interval(areas["held"] - areas[name], resampled), adjusted[name] < LEVEL
        alone = more.low > 0 or more.high < 0
        verdict = OPEN if not (alone and seen) else HOLDS if more.low > 0 else FAILS
        claim, words = f"It forecasts them better than the {forecast.SCORES[name]} does", f"area {more} more"
        if alone and not seen:
            words += ", by the preregistered test alone; not seen once both comparisons count"
        rows.append(Row(claim, "ours, preregistered", words, seeds, verdict, "forecast"))
    return rows


def edge(out: Path) -> list[Row]:
    """The edge of stability."""
    results = read(edge_of_stability.STUDY, edge_of_stability.PAGE, out)
    low, high = edge_of_stability.AT_EDGE
    ends = f"(steps 1800 to {edge_of_stability.STEPS})"
    claims = {
        "late": "Under RMSProp the largest Re of h D^-1 J of both players together is, in the mean of the later looks "
                f"{ends}, at {low:g} to {high:g} of its bound 2, in more than half of the runs on ring8",
        "late discriminator": "The same of the discriminator's own block, a second measure, its rule not written "
                              "before the runs",
    }  # fmt: skip
    rows, at, total = [], {}, 0
    # What the claims were made of, before consensus and Adam were run.
    plain = [", ".join(names) for names in edge_of_stability.PLAIN]
    shared = f" (as if independent: {len(results.study.seeds)} seeds, each in {len(plain)} cells)"
    for column in claims:
        late = np.concatenate([results.values(cell, column) for cell in plain])
        at[column], total = int(((low <= late) & (late <= high)).sum()), len(late)
    adjusted = holm({column: float(binomtest(number, total).pvalue) for column, number in at.items()})
    for column, claim in claims.items():
        part, seen = fraction(at[column], total), adjusted[column] < LEVEL
        words, verdict = f"{at[column]} of {total} runs, {part}{shared}", more_than_half(part) if seen else OPEN
        words += "" if verdict == more_than_half(part) else "; not told from half once both measures count"
        source, seeds = "after arXiv:2207.14484, of classifiers", len(results.study.seeds)
        rows.append(Row(claim, source, words, seeds, verdict, "edge_of_stability"))
    return rows


def relativistic(out: Path) -> list[Row]:
    """Relativistic pairing with both penalties."""
    results, rows = read(r3gan.STUDY, r3gan.PAGE, out), []
    for other in ("relativistic, R1", "nonsaturating, R1", "relativistic, none"):
        text, verdict = compared(results, "relativistic, R1 and R2", other, "modes", 1)
        claim = (
            f"On ring8 relativistic pairing with R1 and R2 covers more modes than {other.replace(', none', ' alone')}"
        )
        rows.append(Row(claim, "arXiv:2501.05441", text, len(results.study.seeds), verdict, "r3gan"))
    return rows


def theory_of_gans(out: Path) -> list[Row]:
    """What the spectra of GANs were asked."""
    return [*bias(out), *weight(out), *edge(out), *relativistic(out), *forecasts(out)]
