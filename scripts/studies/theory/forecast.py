r"""Whether the spectral radius of the update, measured early, forecasts that a GAN's training fails 500 steps later.

Tiny GANs of five families are trained at random rates and weights, so that some of them fail. At step 200 each
run gets scores: spectral radii of its own update, and what is looked at otherwise, the ratio of the losses, the norm of
the gradient, the samples. The area under the curve of each score tells how well it ranks the runs that fail later
above those that do not. What is measured, when, and what counts was [written down](preregistration.md) before.

    python scripts/studies forecast --jobs 1
"""

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from harness import study
from harness.intervals import LEVEL, Estimate, holm
from matplotlib.figure import Figure
from scipy.stats import rankdata
from theory.forecast_runs import BATCH, EVERY, FAMILIES, LEAD, LOOK, RATES, STEPS, WEIGHTS, trained

FIRST, RUNS, RESAMPLES, AIM = 100, 15, 4000, 0.9
WINDOW = 10  # looks on end: 100 steps
BAD, WORSE, LOST = 0.5, 1.2, 2.0  # a distance that is a failure, also in units of that at the look; one that is lost
SCORES = {
    "held": "radius, second moments held (primary)", "real": "radius of the real update",
    "rotating": "radius of complex pairs, held", "ratio": "loss ratio", "norm": "gradient norm",
    "norm growth": "growth of the norm", "distance": "distance of the samples",
}  # fmt: skip
BASELINES = ("ratio", "norm")
# Of Okabe and Ito; measures of a kind have a dash of their own.
LINES = (("-", "#0072b2"), ("-", "#e69f00"), ("-", "#009e73"), ("--", "#d55e00"), ("--", "#cc79a7"), (":", "#000000"),
         (":", "#56b4e9"))  # fmt: skip
Area = Callable[[np.ndarray, np.ndarray, np.ndarray], float]  # of scores, failures and families


def outcome(distance: np.ndarray) -> tuple[float, float]:
    """Return whether a run is lost at the look, and whether it fails later, from its distances every ten steps (T,).

    Lost is a mean distance above `LOST` over the 100 steps before the look, or one that is not finite. It fails if,
    from `LEAD` steps after the look on, the mean distance over 100 steps on end is anywhere above `BAD` and above
    `WORSE` times that of the 100 steps before the look.
    """
    distance = np.where(np.isfinite(distance), distance, np.inf)
    look, later = LOOK // EVERY, (LOOK + LEAD) // EVERY
    before = distance[look - WINDOW + 1 : look + 1].mean()
    means = np.array([distance[i : i + WINDOW].mean() for i in range(later, len(distance) - WINDOW + 1)])
    return float(before > LOST), float(means.max() > max(BAD, WORSE * before))


def scores(runs: dict[str, np.ndarray], i: int) -> dict[str, float | None]:
    """Return what is seen of run number i at the look; the higher, the worse, and worst what is not finite, None."""
    recent, before = slice(LOOK - 50, LOOK), slice(LOOK - 150, LOOK - 100)
    generator, discriminator = runs["losses"][recent, i].mean(0)
    norm, earlier = runs["norms"][recent, i].mean(), runs["norms"][before, i].mean()
    found = {name: float(runs[name][i]) for name in ("held", "real", "rotating")}
    found |= {
        "ratio": float(abs(np.log(discriminator / generator / 2))),  # at an equilibrium it is 2 log 2 over log 2
        "norm": float(norm), "norm growth": float(norm / earlier),
        "distance": float(runs["distance"][LOOK // EVERY - 5 : LOOK // EVERY + 1, i].mean()),
    }  # fmt: skip
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


@cache
def group(family: str, method: str, base: str, steps: int, first: int, runs: int) -> dict[str, np.ndarray]:
    """Return all runs of a cell, which are trained in one program."""
    return trained(family, method, base, steps, list(range(first, first + runs)))


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Return scores and outcome of one run."""
    torch.set_num_threads(1)
    runs = group(cell["family"], cell["method"], cell["base"], cell["steps"], cell["first"], cell["runs"])
    i = seed - cell["first"]
    lost, fails = outcome(runs["distance"][:, i])
    end = runs["distance"][-WINDOW:, i].mean()
    return {
        **scores(runs, i), "lost": lost, "fails": fails, "end": float(end) if np.isfinite(end) else None,
        "rate": float(runs["rate"][i]), "weight": float(runs["weight"][i]),
    }  # fmt: skip


def auc(score: np.ndarray, failed: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a run that fails has the higher score, ties counted half."""
    positive = int(failed.sum())
    negative = len(failed) - positive
    if not positive or not negative:
        return float("nan")
    return float((rankdata(score)[failed].sum() - positive * (positive + 1) / 2) / (positive * negative))


def at_risk(results: study.Results) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return the scores, whether they failed, and the family's number of the runs that were not lost at the look."""
    cells, names = results.study.cells, [*SCORES, "lost", "fails"]
    columns = {name: np.concatenate([results.values(cell, name) for cell in cells]) for name in names}
    families = list(dict.fromkeys(cell["family"] for cell in cells.values()))
    number = np.concatenate([[families.index(cell["family"])] * len(results.study.seeds) for cell in cells.values()])
    kept = columns["lost"] == 0
    return (
        {name: np.nan_to_num(columns[name][kept], nan=1e30) for name in SCORES},
        columns["fails"][kept] > 0,
        number[kept],
    )


def within(score: np.ndarray, failed: np.ndarray, family: np.ndarray) -> float:
    """Return the area of pairs of one family alone, one that fails and one that does not, each pair counted once."""
    total = pairs = 0.0
    for own in (family == number for number in np.unique(family)):
        if weight := int(failed[own].sum()) * int((~failed[own]).sum()):
            total, pairs = total + weight * auc(score[own], failed[own]), pairs + weight
    return total / pairs if pairs else float("nan")


def over_all(score: np.ndarray, failed: np.ndarray, family: np.ndarray) -> float:
    """Return the area of all pairs."""
    return auc(score, failed)


def bootstrap(
    score: dict[str, np.ndarray], failed: np.ndarray, family: np.ndarray, area: Area = over_all
) -> dict[str, np.ndarray]:
    """Return the areas (RESAMPLES,) of every score when the runs are drawn anew, with replacement, in each family."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(family == number) for number in np.unique(family)]
    found: dict[str, list[float]] = {name: [] for name in score}
    for _ in range(RESAMPLES):
        drawn = np.concatenate([rng.choice(own, len(own)) for own in members])
        for name, values in score.items():
            found[name].append(area(values[drawn], failed[drawn], family[drawn]))
    return {name: np.array(values) for name, values in found.items()}


def interval(value: float, resampled: np.ndarray) -> Estimate:
    """Return a number with the 95 % interval of its bootstrap's percentiles."""
    low, high = np.nanpercentile(resampled, [2.5, 97.5]) if np.isfinite(resampled).any() else (np.nan, np.nan)
    return Estimate(value, float(low), float(high))


def areas(results: study.Results) -> dict[str, Estimate]:
    """Return the area under each score's curve, and what the primary one has more than each baseline."""
    score, failed, family = at_risk(results)
    resampled = bootstrap(score, failed, family)
    found = {name: interval(auc(values, failed), resampled[name]) for name, values in score.items()}
    for name in BASELINES:
        more = found["held"].mean - found[name].mean
        found[f"held - {name}"] = interval(more, resampled["held"] - resampled[name])
    return found


def adjusted(results: study.Results) -> dict[str, bool]:
    """Return by baseline whether its difference is seen after Holm's adjustment, which was not preregistered."""
    score, failed, family = at_risk(results)
    resampled = bootstrap({name: score[name] for name in ("held", *BASELINES)}, failed, family)
    more = {name: resampled["held"] - resampled[name] for name in BASELINES}
    p = holm({name: 2 * min(float((m <= 0).mean()), float((m >= 0).mean())) for name, m in more.items()})
    return {name: p[name] < LEVEL for name in BASELINES}


def alone(results: study.Results) -> str:
    """Return in words what is left of the primary measure within families, whose failure rates and radii differ."""
    score, failed, family = at_risk(results)
    two = {name: score[name] for name in ("held", "ratio")}
    area = {name: within(values, failed, family) for name, values in two.items()}
    resampled = bootstrap(two, failed, family, within)
    more = interval(area["held"] - area["ratio"], resampled["held"] - resampled["ratio"])
    holds = "does not hold 0" if more.low > 0 or more.high < 0 else "holds 0"
    if np.isnan(more.mean):
        return "Not preregistered: within families nothing can be compared, since none has runs of both kinds."
    return (
        "Not preregistered: families differ in how often they fail and in their radii. Within families, weighted by "
        f"pairs, the area of the primary measure is {interval(area['held'], resampled['held'])}, and the interval of "
        f"what it has more than the loss ratio, {more}, {holds}."
    )


def verdict(results: study.Results) -> list[str]:
    """Return the areas, the test that was preregistered, and the misses."""
    score, failed, family = at_risk(results)
    found, seen, families = (
        areas(results),
        adjusted(results),
        list(dict.fromkeys(c["family"] for c in results.study.cells.values())),
    )
    primary, total = found["held"], len(results.study.cells) * len(results.study.seeds)
    reached = "is reached" if primary.low >= AIM else "is missed" if primary.high < AIM else "is left open"
    lines = [
        f"Of {total} runs {total - len(failed)} are lost at step {LOOK} already; of the other {len(failed)} "
        f"{int(failed.sum())} fail {LEAD} steps later or after that.",
        *(f"Area under the curve, {words}: {found[name]}." for name, words in SCORES.items()),
        f"The aim of {AIM} for the primary measure {reached}.",
        *(f"The primary measure has {found[f'held - {name}']} more than the {SCORES[name]}: "
          + (f"more by the preregistered test, which has no adjustment for its two comparisons; with Holm's "
             f"{'it is more too' if seen[name] else 'no difference is seen'}." if found[f"held - {name}"].low > 0 else
             "less." if found[f"held - {name}"].high < 0 else "no difference is seen.") for name in BASELINES),
    ]  # fmt: skip
    for number, name in enumerate(families):
        own = family == number
        parts = [f"{SCORES[s].removesuffix(' (primary)')} {auc(score[s][own], failed[own]):.2f}" for s in
                 ("held", "real", "ratio", "norm")]  # fmt: skip
        lines.append(f"{name}: {int(failed[own].sum())} of {int(own.sum())} fail; areas: {', '.join(parts)}.")
    above = score["held"] > 1
    lines.append(alone(results))
    lines.append(
        f"Misses, with 1 as the threshold: {int((failed & ~above).sum())} of {int(failed.sum())} that fail have a "
        f"radius of at most 1, and {int((~failed & above).sum())} of {int((~failed).sum())} that do not fail one above."
    )
    return lines


def curves(results: study.Results) -> Figure:
    """Draw the ROC curves."""
    score, failed, _ = at_risk(results)
    figure = Figure(figsize=(7.2, 4.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    for name, (style, colour) in zip(SCORES, LINES, strict=True):
        order = np.argsort(-score[name], kind="stable")
        # Runs of equal score come together, as one straight piece.
        last = np.append(np.diff(score[name][order]) != 0, True)
        hits, alarms = np.cumsum(failed[order])[last], np.cumsum(~failed[order])[last]
        label = f"{SCORES[name]}, {auc(score[name], failed):.2f}"
        axes.plot(np.append(0, alarms) / max(1, (~failed).sum()), np.append(0, hits) / max(1, failed.sum()), style,
                  color=colour, linewidth=2 if name == "held" else 1.2, label=label)  # fmt: skip
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
    axes.set(xlabel="runs without failure that are called", ylabel="runs that fail that are called", aspect="equal")
    axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def cells(groups: tuple[tuple[str, str], ...], first: int, runs: int, steps: int) -> dict[str, study.Cell]:
    """Return every family under every method and base rule."""
    return {
        f"{family}, {method}, {base}": {
            "family": family, "method": method, "base": base, "first": first, "runs": runs, "steps": steps,
            "starts": 1,
        }
        for family in FAMILIES for method, base in groups
    }  # fmt: skip


GROUPS = (("simultaneous", "sgd"), ("simultaneous", "adam"), ("alternating", "adam"), ("consensus", "rmsprop"))
COLUMNS = {"held": "radius, held", "real": "radius, real", "ratio": "loss ratio", "norm": "gradient norm",
           "distance": "distance", "lost": "lost", "fails": "fails"}  # fmt: skip
STUDY = study.Study(
    "forecast",
    run,
    cells(GROUPS, FIRST, RUNS, STEPS),
    COLUMNS,
    quick=cells(GROUPS[:1], 0, 2, LOOK + LEAD + 10 * WINDOW),
    seeds=range(FIRST, FIRST + RUNS),
    bounds=dict.fromkeys(("held", "real", "ratio", "norm", "distance"), (0.0, math.inf)),
    trials={"lost": "starts", "fails": "starts"},
)
SECTION = study.Section(
    f"""{{steps}} steps, {{runs}} runs of each cell, {BATCH} fresh samples a step, nonsaturating loss, in float64.
Learning rates are drawn log-uniformly, their log10 from {RATES["sgd"]} with plain steps, {RATES["adam"]} with Adam,
{RATES["rmsprop"]} with RMSProp, that of the weight of consensus from {WEIGHTS}. Means over all runs of a cell, lost
ones included, at step {LOOK}; without numbers that are not finite. "lost" and "fails" are fractions.""",
    figures={"roc": ("ROC curves", curves)},
)
PAGE = study.Page("Forecast of failures from the radius of the update", __doc__, [SECTION], verdict)
