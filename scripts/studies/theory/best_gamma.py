r"""Whether the best weight of consensus can be read from the eigenvalues of J.

A plain step of consensus has the derivative I - h (J + gamma J^T J) at an equilibrium: the gamma that makes its
spectral radius least should need the fewest steps. It is taken from J at the start, which is known before anything is
trained, and from J where the best run ends, and compared with the best of a grid of weights that were all tried.

    python scripts/studies best_gamma --jobs 1
"""

from pathlib import Path

import numpy as np
import torch
from harness import study
from matplotlib.figure import Figure
from theory.weighed_games import GAMES, best_weight, jacobian, paths, steps_needed

STEPS, REDUCTION, MOST, POINTS = 300, 1e-4, 10.0, 25
LINEAR = ("bilinear", "quadratic")
COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#d55e00")  # of Okabe and Ito
RATES = (0.1, 0.4)  # times the spectral norm of J at the start


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Return the best weight found, those predicted, and how many times more steps each of them needs."""
    torch.set_num_threads(1)

    def make() -> tuple:
        return GAMES[cell["game"]](np.random.default_rng(seed))

    game, batch = make()
    J = jacobian(game, batch, game.vector())
    size = float(np.linalg.norm(J, 2))
    h = cell["rate"] / size
    # Up to where the largest singular value alone makes the step diverge, h gamma s^2 = 2, and beyond.
    gammas = np.concatenate([[0.0], np.geomspace(1e-3, 4, cell["points"]) / (h * size**2)])
    norms, ends = paths(make, gammas, h, cell["steps"])
    needed = steps_needed(norms, REDUCTION, MOST)
    best = int(np.argmin(needed))
    at_end = jacobian(game, batch, ends[best])
    chosen = {"start": best_weight(J, h, gammas), "end": best_weight(at_end, h, gammas), "none": 0.0,
              "norm": float(gammas[np.argmin(abs(gammas - 1 / (h * size**2)))])}  # fmt: skip
    result: study.Result = {"found": float(gammas[best] * size), "steps": float(needed[best])}
    for name, gamma in chosen.items():
        result[f"times {name}"] = float(needed[list(gammas).index(gamma)] / needed[best])
    for name in ("start", "end"):
        result[f"gamma {name}"] = chosen[name] * size
        if chosen[name] and gammas[best]:
            result[f"factor {name}"] = float(np.log2(chosen[name] / gammas[best]))
    return result


def cells(games: tuple[str, ...], rates: tuple[float, ...], **settings: float) -> dict[str, study.Cell]:
    """Return every game at every rate."""
    return {f"{game}, rate {rate}": {"game": game, "rate": rate, **settings} for game in games for rate in rates}


def scatter(results: study.Results) -> Figure:
    """Draw the predicted weight over the found one, for each game and seed; on the line they are the same."""
    figure = Figure(figsize=(8.6, 4.2), dpi=110, layout="constrained")
    games = list(dict.fromkeys(cell["game"] for cell in results.study.cells.values()))
    for axes, where in zip(figure.subplots(1, 2, sharey=True), ("start", "end"), strict=True):
        for number, (game, marker, colour) in enumerate(zip(games, "osv^", COLOURS, strict=False)):
            names = [name for name, cell in results.study.cells.items() if cell["game"] == game]
            found, predicted = (
                np.concatenate([results.values(n, c) for n in names]) for c in ("found", f"gamma {where}")
            )
            size = 11 - 1.5 * number  # those below are seen where many coincide
            axes.plot(found, predicted, marker, color=colour, label=game, alpha=0.6, markersize=size, markeredgewidth=0)
        ends = axes.get_xlim()
        axes.plot(ends, ends, color="#444444", linewidth=0.8)
        axes.set(xscale="log", yscale="log", xlabel="found: gamma |J|", title=f"from J at the {where}")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("predicted: gamma |J|")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure


def verdict(results: study.Results) -> list[str]:
    """Return how many runs with a predicted weight need at most a tenth more steps than the best of all."""
    found, within, most = [], {}, {}
    words = {"start": "From J at the start", "end": "From J at the end", "norm": "By the norm of J alone",
             "none": "Without the penalty"}  # fmt: skip
    for name, said in words.items():
        times = np.concatenate([results.values(cell, f"times {name}") for cell in results.study.cells])
        times = times[~np.isnan(times)]
        near = int((times <= 1.1).sum())
        within[name], most[name] = int((times <= 2).sum()), times.max(initial=1.0)
        found.append(
            f"{said}: at most a tenth more steps than the best weight in {near} of {len(times)} runs "
            f"({study.fraction(near, len(times))}), at most twice as many in {within[name]}; median "
            f"{np.median(times):.3g} times as many."
        )
    linear = [name for name, cell in results.study.cells.items() if cell["game"] in LINEAR]
    alike = within["norm"] == within["start"]
    counts = f"{within['norm']} of {len(times)} " + ("both" if alike else f"against {within['start']}")
    return [
        *found,
        f"Within twice the fewest steps the norm alone, 1 / (h |J|^2), is {'as' if alike else 'not as'} often right as "
        f"the spectrum at the start ({counts}); at worst the weights need {most['start']:.0f} (start) and "
        f"{most['norm']:.0f} (norm) times as many.",
        f"{len(linear) * len(results.study.seeds)} of the {len(times)} runs are of linear games, where J at the end is "
        "J at the start; and the runs of a seed at the two rates share a draw of game and start, so that they are not "
        "as many trials as the intervals take them for.",
    ]


COLUMNS = {
    "found": "found gamma", "gamma start": "from the start", "gamma end": "from the end",
    "factor start": "log2 over found, start", "factor end": "log2 over found, end",
    "steps": "fewest steps", "times start": "steps, start", "times end": "steps, end",
    "times norm": "steps, norm", "times none": "steps, gamma 0",
}  # fmt: skip
SETTINGS = {"steps": STEPS, "points": POINTS}
STUDY = study.Study(
    "best_gamma",
    run,
    cells(tuple(GAMES), RATES, **SETTINGS),
    COLUMNS,
    quick=cells(tuple(GAMES), RATES[1:], steps=60, points=9),
    seeds=range(6),
    bounds={name: (1.0, MOST * STEPS) for name in COLUMNS if name.startswith("times ")},
)
SECTION = study.Section(
    f"""Plain steps of consensus on one batch, in float64, {{steps}} of them from {{seeds}} random starts (and random
matrices in the linear games); h is {{rate}} over the spectral norm |J| at the start. Tried are the weight 0 and
{{points}} from 1e-3 to 4 over h |J|^2, a factor of 1.4 apart; a prediction is the one of them of least radius. Steps
count until the norm of the field is and stays below {REDUCTION:g} of its first; what has not come so far is continued
at its mean rate, as for some bilinear games, up to {MOST:g} times the steps made.

The linear games have three numbers for each player; the Dirac-GAN and the Gaussian GAN (mean and scale against a
quadratic discriminator) the nonsaturating loss. Columns: gamma |J|, found and predicted; log2 of predicted over found;
the fewest steps; and how many times as many the predicted weights need, that of the norm alone, 1 / (h |J|^2), and no
penalty. Eigenvalues below 1e-6 of |J| are left out of the radius. A GAN of two networks was run as well and is left
out: no weight brought it to the reduction within these steps, and the mean rate tells nothing of a game that is not
linear, so that its best weight is not known.""",
    figures={"scatter": ("Predicted over found weight", scatter)},
)
PAGE = study.Page("The weight of consensus from the spectrum", __doc__, [SECTION], verdict)
