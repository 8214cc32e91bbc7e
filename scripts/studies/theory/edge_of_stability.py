r"""Whether adaptive training of a GAN climbs to the edge of stability, by means over the later looks.

A step of RMSProp with slow second moments multiplies an eigenvector of h D^-1 J (h the learning rate, D the roots of
the second moments) by 1 - mu, and overshoots for good from mu = 2 on; with Adam's momentum of 0.9 from 38 on. For
classifiers the largest eigenvalue climbs to that bound and hovers there (Cohen et al. 2022, arXiv:2207.14484). Here
the same is followed for the two players of a GAN on the ring of eight Gaussians, whose J is not symmetric.

    python scripts/studies edge_of_stability --jobs 2
    tensorboard --logdir runs/edge_of_stability
"""

import math
from pathlib import Path

import numpy as np
import torch
from cells import gan_steps
from harness import study
from matplotlib.figure import Figure

import gantools as gt

STEPS, LOOKS, GAMMA = 3000, 15, 10.0
BETA = 0.9  # of Adam's first moment
BOUNDS = {"rmsprop": 2.0, "adam": 2 * (1 + BETA) / (1 - BETA)}  # of a plain step, and of one along an average
AT_EDGE = (0.8, 1.2)


def flags(cell: study.Cell, seed: int) -> list[str]:
    """Return the flags of one GAN; all its checkpoints are kept."""
    return gan_steps.ring8(cell, seed, "--optimizer.base", cell["base"], "--keep-last", "0")


def largest_real(A: gt.analysis.LinearOperator) -> float:
    """Return the largest real part of the eigenvalues."""
    found = gt.analysis.eigenvalues(A, k=1, which="LR", tol=1e-3, vectors=False, guard=False)
    return float(found.values[0].real)


def own_map(optimizer: gt.trainers.Consensus, batch: object) -> gt.analysis.LinearOperator:
    """Return the derivative of the direction that consensus descends, field and penalty: I minus its plain step's."""
    plain = gt.trainers.Consensus(optimizer.game, lr=1.0, gamma=optimizer.gamma, base="sgd")
    U = gt.analysis.update_operator(plain, batch)
    return gt.analysis.LinearOperator(lambda u: u - U @ u, U.n, U.dtype, U.device)


def look(run: gt.runs.load.Run, bound: float) -> dict[str, float]:
    """Return the largest real parts of h D^-1 J, of what the method descends, and of the discriminator's own block."""
    optimizer, batch = run.optimizer, run.experiment.analysis_batch(step=run.step)
    (rate,) = set(optimizer.rates.values())
    J = gt.analysis.jacobian(run.game, batch)
    P = gt.analysis.preconditioned(J, optimizer) * rate
    found = {"of J": largest_real(P) / bound}
    found["discriminator"] = largest_real(gt.analysis.restrict(P, "discriminator")) / bound
    found["own"] = found["of J"]
    if isinstance(optimizer, gt.trainers.Consensus):
        A = own_map(optimizer, batch)
        scale = rate / optimizer.denominator(run.game.vector(), optimizer.state)
        scaled = gt.analysis.LinearOperator(lambda u: scale * (A @ u), A.n, A.dtype, A.device)
        found["own"] = largest_real(scaled) / bound
    return found


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train one GAN, and look at each of its checkpoints."""
    torch.set_num_threads(1)
    study.train_gan(flags(cell, seed), folder)
    opened = gt.load(folder)
    bound, steps = BOUNDS[cell["base"]], gan_steps.looks(cell, opened)[::2]
    end = gan_steps.coverage(cell, opened)
    looks = [look(one, bound) for one in opened.at(steps[0]).double().each(steps)]
    wide = opened.double()
    own = np.array([one["own"] for one in looks])
    late = own[len(own) // 2 :]
    half = looks[len(own) // 2 :]
    return {
        "early": float(own[0]), "late": float(late.mean()), "least": float(late.min()), "most": float(late.max()),
        **{f"late {name}": float(np.mean([one[name] for one in half])) for name in looks[0] if name != "own"},
        "at the edge": float(AT_EDGE[0] <= late.mean() <= AT_EDGE[1]),
        "modes": end["modes"], "quality": end["quality"],
        "radius": gan_steps.radius_of(wide.optimizer, wide.batches[wide.step]),
        "curves": {"step": steps, "fraction_of_the_bound": own.tolist()},
    }  # fmt: skip


def cells(chosen: tuple[tuple[str, str, str], ...], steps: int, width: int, looks: int) -> dict[str, study.Cell]:
    """Return these methods, each with its base rule and rate."""
    common = {"steps": steps, "width": width, "every": steps // looks, "gamma": GAMMA, "starts": 1}
    return {
        f"{optimizer}, {base}, {lr}": {"optimizer": optimizer, "base": base, "lr": lr, **common}
        for optimizer, base, lr in chosen
    }


def over_steps(results: study.Results) -> Figure | None:
    """Draw the fraction of the bound over the steps."""
    return results.curves("fraction_of_the_bound", log=True)


def verdict(results: study.Results) -> list[str]:
    """Return, for each method and base rule, how many runs are at the edge, and how many discriminators."""
    found = []
    for optimizer, base in dict.fromkeys((c["optimizer"], c["base"]) for c in results.study.cells.values()):
        names = [n for n, c in results.study.cells.items() if (c["optimizer"], c["base"]) == (optimizer, base)]

        def over(column: str, names: list[str] = names) -> np.ndarray:
            values = np.concatenate([results.values(name, column) for name in names])
            return values[~np.isnan(values)]

        if not len(over("late")):
            continue
        parts = []
        for words, column in (("by what the method descends", "late"), ("by its own block", "late discriminator")):
            late = over(column)
            at = int(((AT_EDGE[0] <= late) & (late <= AT_EDGE[1])).sum())
            parts.append(
                f"{at} of {len(late)} {words} ({study.fraction(at, len(late))}; {off_the_edge(late)}), second halves "
                f"between {late.min():.2g} and {late.max():.2g} of the bound"
            )
        early = over("early")
        found.append(
            f"{optimizer.capitalize()}, {base}: at the edge, by the mean over the later looks, are {parts[0]}, and of "
            f"the discriminators {parts[1]}. The first look had {early.min():.2g} to {early.max():.2g}."
        )
    shared = (
        "Runs of a seed share data and first weights, whatever their method and rate, so that they are not as many "
        "trials as the intervals take them for."
    )
    cells = results.study.cells.items()
    transient = [gan_steps.transient(name, {cell["steps"]: results.values(name, "radius")}) for name, cell in cells]
    return [*found, shared, *unsettled(results), *transient]


def off_the_edge(late: np.ndarray) -> str:
    """Return how many means over the later looks lie below the edge, and how many above."""
    return f"{int((late < AT_EDGE[0]).sum())} below and {int((late > AT_EDGE[1]).sum())} above"


def unsettled(results: study.Results) -> list[str]:
    """Return which cells go beyond twice the bound in their second half, and what the bound leaves out."""
    beyond = [
        f"Beyond twice the bound goes {name}: the most of its second half is {results.shown(name, 'most')} of it, its "
        f"mean {results.shown(name, 'late')}."
        for name in results.study.cells if results.mean(name, "most") > 2
    ]  # fmt: skip
    bounded = (
        "That runs stay at the bound is shown in no cell: where they still climb at the last look, their mean lies "
        "below where they are (see the figure). The discriminator's block is a second measure, its rule not written "
        "before the runs."
    )
    apart = (
        "The bounds are those of real eigenvalues under a simultaneous step. Pairs that turn, eigenvalues that repel "
        "and alternating steps may be unstable far below: a radius above 1 at a small fraction of the bound is an "
        "instability of another kind. No rate was chosen here, so that a method which has hardly learned at its rate "
        "may still climb at another."
    )
    return [*beyond, bounded, apart]


COLUMNS = {
    "early": "first look", "late": "second half, mean", "least": "second half, least", "most": "second half, most",
    "late of J": "of J alone", "late discriminator": "discriminator's block",
    "at the edge": "runs at the edge", "modes": "modes of 8", "quality": "quality",
    "radius": "radius of the update",
}  # fmt: skip
PLAIN = (
    ("simultaneous", "rmsprop", "1e-3"), ("simultaneous", "rmsprop", "5e-4"),
    ("alternating", "rmsprop", "1e-3"), ("alternating", "rmsprop", "5e-4"),
)  # fmt: skip
OTHERS = (
    ("consensus", "rmsprop", "1e-3"), ("simultaneous", "adam", "1e-3"), ("alternating", "adam", "1e-3"),
    ("consensus", "adam", "1e-3"),
)  # fmt: skip
STUDY = study.Study(
    "edge_of_stability",
    run,
    cells((*PLAIN, *OTHERS), STEPS, 16, LOOKS),
    COLUMNS,
    quick=cells((PLAIN[0], *OTHERS[:3]), 40, 4, 4),
    trials={"at the edge": "starts"},
    bounds={
        "modes": (0.0, 8.0),
        "quality": (0.0, 1.0),
        "least": (0.0, math.inf),
        "early": (0.0, math.inf),
        **dict.fromkeys(("late", "most", "late of J", "late discriminator"), (0.0, math.inf)),
        "radius": (0.0, math.inf),
    },
    flags=flags,
)
SECTION = study.Section(
    f"""{{steps}} steps, batches of 256, both networks four hidden layers of {{width}} ReLU units, gamma {GAMMA:g} for
consensus, learning rates {{lr}}, {{seeds}} seeds; looks after 200 steps and every 400 from then on, in float64 on one
batch.

Columns: the largest real part of an eigenvalue of h D^-1 A, over its bound (2 with RMSProp, 38 with Adam), at the
first look, and its mean, least and largest value over the second half of the looks. A is the derivative of what the
method descends: J, and with consensus that of field and penalty together, J + gamma J^T J and the penalty's curvature.
"of J alone" is h D^-1 J over the same bound, of every method, and the discriminator's block is its own part of it:
means over the second half. The radius is that of the step that is taken, moments and consensus' term included, at the
end; a step is called transient where it is above {gan_steps.GROWS:g}. A run is at the edge where the mean of its second
half lies from {AT_EDGE[0]:g} to {AT_EDGE[1]:g} of the bound.""",
    figures={
        "all": ("By cell", study.Results.figure),
        "curves": ("Fraction of the bound over the steps; the bound is 1", over_steps),
    },
)
PAGE = study.Page("The adaptive edge of stability of GANs", __doc__, [SECTION], verdict)
