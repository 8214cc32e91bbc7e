"""Every optimizer on the analytic games and on the ring of eight Gaussians: makes docs/optimizers.md and its figures.

Analytic games: predicted and observed rates of every method, which must agree within 2 %. The ring: three seeds of
every method, two runs at a time. What is finished is not computed again, and what was stopped goes on.

    python scripts/benchmarks/compare_optimizers.py
    python scripts/benchmarks/compare_optimizers.py --part analytic
    tensorboard --logdir runs/optimizers/ring8
"""

import argparse
import json
import sys
import textwrap
from pathlib import Path

import torch

from gantools import board
from gantools.cli.commands.compare import chosen_methods
from gantools.compare.comparison import TOY_STEPS, Comparison
from gantools.compare.contraction import FALLBACK_LR, GRID, TOY_SETTINGS
from gantools.compare.tables import RATES, TRAININGS, Row, ordered
from gantools.compare.trainings import RING, RING_LR, RING_PLAIN_LR, RING_STEPS, Interrupted
from gantools.games.analytic import TOY_GAMES
from gantools.sweeps.pool import Pool

TOLERANCE = 0.02
FORMULAS = {
    "bilinear": "$x^{\\mathsf T} A y$ with singular values 1 and 0.5: $J$ has $\\pm i$ and $\\pm i/2$.",
    "dirac": "Dirac-GAN, nonsaturating loss: $J$ has $\\pm i/2$ at the equilibrium. Not linear.",
    "quadratic": "$\\tfrac\\mu2 x^2 + xy - \\tfrac\\mu2 y^2$ with $\\mu = 0.2$: $J$ has $0.2 \\pm i$.",
}

PAGE = """# The optimizers side by side

    {command}

{versions}. One game by hand: `gantools compare --game bilinear`.

## Analytic games

Games whose field is known with pencil and paper (`gantools/games/analytic.py`), in float64. {explanation} A gradient is
one evaluation of the whole field, a product one backward pass through it (`gantools/compare/cost.py`).

Every method has the settings of the registry{exceptions}, over plain steps (`sgd`), and the learning rate that is the
best of a grid by the predicted rate: {points} values from {low:g} to {high:g}, eight a decade; {fallback:g} where none
converges. The observed rate is the slope of the logarithm of the distance, parameters and memory, over the last two
thirds of at most {toy_steps} steps. `auto`, which chooses weight and rate itself, is judged at what it chose, whatever
the grid gave it to begin with: on these games half the stable rate of the pair that turns fastest; what it does on the
ring is in [results/auto.md](results/auto.md).

{agreement}

{games}

## Ring of eight Gaussians

{ring}
"""

RING_PAGE = """{seeds} seeds, {steps} steps, batches of 256, both networks four hidden layers of 16 units,
nonsaturating loss. Learning rate {lr:g} over RMSProp for every method that has a base, {plain:g} for those whose steps
are their own: one rate for all and tuned for none, so the table shows what each method does with it, not the best that
each can do. Modes: those with at least 1 % of the samples within 0.1; quality: the fraction of samples within 0.1 of
any mode. {explanation}
Runs shared the machine, two at a time and with other programs: evaluations a step are exact, times rough.

{table}

![Ring of eight Gaussians](results/optimizers-ring8.png)"""


def disagreements(rows: list[Row]) -> dict[str, float]:
    """Return how far the observed factor a step is from the predicted one, relatively, by method."""
    both = [row for row in rows if row["predicted"] is not None and row["observed"] is not None]
    return {row["method"]: abs(row["observed"] / row["predicted"] - 1) for row in both}


def agreement(comparisons: dict[str, Comparison]) -> tuple[str, float]:
    """Return the sentence on predicted and observed rates, and the largest difference."""
    found = {(game, method): d for game, c in comparisons.items() for method, d in disagreements(c.rows).items()}
    game, method = max(found, key=lambda key: found[key])
    without = sum(len(c.rows) for c in comparisons.values()) - len(found)
    words = (
        f"Predicted and observed factors agree within {100 * found[game, method]:.2g} % in all {len(found)} cases (the "
        f"largest difference is that of `{method}` on the {game} game)."
    )
    if without:
        words += f" {without} have no rate to compare: they reach the equilibrium at once, or adapt their steps."
    return words, found[game, method]


def page(comparisons: dict[str, Comparison], ring: Comparison | None, out: Path, command: str) -> None:
    """Write the page, its figures and its numbers."""
    results = out / "results"
    results.mkdir(parents=True, exist_ok=True)
    parts = []
    for game, comparison in comparisons.items():
        board.rates_figure(ordered(comparison.rows), f"{game} game").savefig(results / f"optimizers-{game}.png")
        figure = f"![Predicted and observed rates on the {game} game](results/optimizers-{game}.png)"
        parts.append(f"### {game.capitalize()}\n\n{FORMULAS[game]}\n\n{comparison.table()}\n\n{figure}")
    trained = "Not trained yet: `python scripts/benchmarks/compare_optimizers.py`."
    if ring is not None and ring.rows:
        board.trainings_figure(ordered(ring.rows), f"ring8, {ring.steps} steps").savefig(
            results / "optimizers-ring8.png"
        )
        trained = RING_PAGE.format(
            seeds=len({row["seed"] for row in ring.rows}), steps=ring.steps, lr=RING_LR, plain=RING_PLAIN_LR,
            explanation=TRAININGS, table=ring.table(),
        )  # fmt: skip
    settings = ", ".join(
        f"`{method}` with {' and '.join(f'{k} = {v:g}' for k, v in values.items())}"
        for method, values in TOY_SETTINGS.items()
    )
    content = PAGE.format(
        command=command, versions=versions(comparisons, ring), explanation=RATES, exceptions=f" (but {settings})",
        points=len(GRID), low=GRID[0], high=GRID[-1], fallback=FALLBACK_LR, toy_steps=TOY_STEPS,
        agreement=agreement(comparisons)[0], games="\n\n".join(parts), ring=trained,
    )  # fmt: skip
    (out / "optimizers.md").write_text("\n\n".join(map(reflowed, content.strip().split("\n\n"))) + "\n")
    kept = {
        c.game: [{k: v for k, v in row.items() if k != "distances"} for row in c.rows] for c in comparisons.values()
    }
    kept |= {} if ring is None else {RING: ring.rows}
    (results / "optimizers.json").write_text(json.dumps(kept, indent=1) + "\n")


def reflowed(block: str) -> str:
    """Return a paragraph in lines of 120 characters; tables, headings, figures and commands as they are."""
    if block.startswith(("|", "#", "!", "    ")):
        return block
    return textwrap.fill(block, 120, break_long_words=False, break_on_hyphens=False)


def versions(comparisons: dict[str, Comparison], ring: Comparison | None) -> str:
    """Return the sentence on versions and device, as the results note them."""
    newest = (ring if ring is not None and ring.rows else next(iter(comparisons.values()))).results
    stored = json.loads(newest.read_text())
    names = ", ".join(f"{name} {number}" for name, number in stored["versions"].items())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU, one thread a run"
    return f"Made with {names} on {device}"


def main() -> int:
    """Compute missing results and write the page; return 1 where predicted and observed rates disagree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["all", "analytic", "ring8"], default="all")
    parser.add_argument("--optimizers", default="all")
    parser.add_argument("--steps", type=int, default=RING_STEPS, help="of the ring")
    parser.add_argument("--toy-steps", type=int, default=TOY_STEPS, help="of the analytic games, at most")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--root", type=Path, default=Path("runs/optimizers"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    torch.set_num_threads(1)  # kernels are small, and there are as many processes as cores
    methods = chosen_methods(args.optimizers)
    comparisons = {game: Comparison(args.root / game, game, None, args.toy_steps) for game in TOY_GAMES}
    ring = Comparison(args.root / RING, RING, None, args.steps, "cpu")
    try:
        if args.part != "ring8":
            for game, comparison in comparisons.items():
                comparison.complete(methods, [0], lambda text, game=game: print(f"{game}: {text}", flush=True))
        if args.part != "analytic":
            ring.complete(methods, args.seeds, lambda text: print(text, flush=True), Pool(args.workers))
    except (KeyboardInterrupt, Interrupted):
        print("stopped; run again to go on")
        return 130
    if not all(comparison.rows for comparison in comparisons.values()):
        print("no page yet: run --part analytic")
        return 0
    page(comparisons, ring, args.out, "python " + " ".join(["scripts/benchmarks/compare_optimizers.py", *sys.argv[1:]]))
    words, largest = agreement(comparisons)
    print(f"{args.out / 'optimizers.md'}\n{words}")
    return 0 if largest <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
