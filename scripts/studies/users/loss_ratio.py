"""How many trainings until one is stable: `auto` against people who tune by the ratio of the losses.

A user begins with a setting that nobody chose, trains, looks at both losses, changes one setting, and trains again,
until the ring of eight Gaussians has all its modes at every look of the second half of the steps, or six trainings are
over. Then the setting that was found is trained with two further seeds. The rules of these users, with their sources,
are in scripts/studies/users/heuristics.py; `auto` gets no setting, and trains again with another seed alone.

    python scripts/studies loss_ratio
    tensorboard --logdir runs/loss_ratio/trainings
"""

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from harness import study
from harness.intervals import LEVEL, holm
from matplotlib.figure import Figure
from scipy.stats import binomtest
from users.heuristics import RULES
from users.trainings import REPEATS, begun, by_auto, train_all

from gantools.sweeps.once import once

STEPS, MOST, BETA = 2500, 6, 0.5
USERS = tuple(range(40, 48))
# Gradients of both players, and products with their Jacobian, that a step takes; one where nothing is said.
EVALUATIONS = {"consensus": 2, "auto": 2 / (1 - 0.1)}  # estimates are a tenth of all


CONTROL = "random, consensus"
LEAST = next(n for n in range(1, 99) if 2 * 0.5**n < LEVEL)  # of which a sign test sees a difference, if all agree


@dataclasses.dataclass(frozen=True)
class Comparison:
    """With how many users `auto` needs fewer trainings than a rule, more, and as many; p-value of the sign test."""

    fewer: int
    more: int
    equal: int
    p: float


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Let one user train until a training is stable; users by hand are trained in one program, by whoever is first."""
    users, root = list(cell["users"] if seed in cell["users"] else (seed,)), folder.parent
    rule = cell.pop("rule")
    if rule == "auto":
        return numbers(dataclasses.asdict(by_auto(seed, users, cell, root)), cell)
    found = once(
        root / f"users{users[0]}-{users[-1]}.json", {**cell, "users": users}, lambda: by_hand(users, cell, root)
    )
    return numbers(found[f"{rule} {seed}"], cell)


def by_hand(users: list[int], cell: study.Cell, root: Path) -> Mapping[str, Mapping]:
    """Train the users of all rules, or of consensus, who draw at random; return what each did."""
    rules = ("random",) if "method" in cell else RULES
    everyone = [begun(seed, rule) for seed in users for rule in rules]
    train_all(everyone, cell, root)
    return {f"{user.rule} {user.seed}": dataclasses.asdict(user) for user in everyone}


def numbers(user: Mapping, cell: study.Cell) -> study.Result:
    """Return what became of a user."""
    history, repeats = user["history"], user["repeats"]
    found = history[-1]["modes"] == 8
    again = sum(one["modes"] == 8 for one in repeats)
    result: study.Result = {
        "trainings": len(history),
        "found": int(found),
        "first": int(found and len(history) == 1),
        "third": int(found and len(history) <= 3),
        "again": again if found else 0,
        "kept": int(found and again == len(repeats)),
        "gradients": len(history) * cell["steps"] * EVALUATIONS.get(cell.get("method", user["rule"]), 1),
        "history": [known({**one, **one["setting"], "setting": None}) for one in history],
    }
    return result


def known(numbers: Mapping[str, float | None]) -> dict[str, float]:
    """Return the numbers that are any."""
    return {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}


def cells(steps: int, users: Sequence[int], **settings: object) -> dict[str, study.Cell]:
    """Return the cells: users of every rule, and those of `auto`."""
    common = {"steps": steps, "users": users, "most": MOST, "beta": BETA, "one": 1, **settings}
    by_hand = {rule: {"rule": rule, **common} for rule in RULES}
    control = {CONTROL: {"rule": "random", "method": "consensus", **common}}
    return {**by_hand, **control, "auto": {"rule": "auto", **common}}


def sooner(results: study.Results) -> dict[str, Comparison]:
    """Return how `auto` compares with each rule, user by user, with p-values after Holm's adjustment for all rules."""
    own = needed(results, "auto")
    found = {}
    for rule in [name for name in results.study.cells if name != "auto"]:
        other = needed(results, rule)
        fewer, more = int((own < other).sum()), int((own > other).sum())
        p = float(binomtest(fewer, fewer + more).pvalue) if fewer + more else 1.0
        found[rule] = Comparison(fewer, more, len(own) - fewer - more, p)
    adjusted = holm({rule: one.p for rule, one in found.items()})
    return {rule: dataclasses.replace(one, p=adjusted[rule]) for rule, one in found.items()}


def needed(results: study.Results, rule: str) -> np.ndarray:
    """Return the trainings of each user until one is stable; infinity where none of those made is."""
    return np.where(results.values(rule, "found") == 1, results.values(rule, "trainings"), np.inf)


def verdict(results: study.Results) -> list[str]:
    """Return what the numbers say of `auto` against each rule."""
    most = next(iter(results.study.cells.values()))["most"]
    found = {rule: needed(results, rule) for rule in results.study.cells}
    sentences = []
    for rule, one in sooner(results).items():
        seen = "a difference is seen" if one.p < LEVEL else "no difference is seen"
        power = "" if one.p < LEVEL else f"; alone it would be from {LEAST} users on who differ, all in one direction"
        sentences.append(
            f"Against `{rule}`, `auto` needs fewer trainings with {one.fewer} of {len(found[rule])} users, more with "
            f"{one.more}, as many with {one.equal}: {seen} (sign test, p = {one.p:.3f} after Holm's adjustment for "
            f"{len(results.study.cells) - 1} rules{power}). Median {told(np.median(found['auto']), most)} against "
            f"{told(np.median(found[rule]), most)}."
        )
    for rule in results.study.cells:
        successes, kept = int(results.values(rule, "found").sum()), int(results.values(rule, "kept").sum())
        sentences.append(
            f"`{rule}`: {successes} of {len(found[rule])} users have a stable training within {most}, and with {kept} "
            f"of these both further seeds are stable too."
        )
    by_hand = [rule for rule in results.study.cells if rule != "auto"]
    adam = [results.by_cell[rule] for rule in by_hand if rule != CONTROL]
    modes = [one["modes"] for users in adam for user in users.values() for one in user["history"]]
    sentences.append(
        f"The best trainings with Adam have {max(modes)} of 8 modes at every look of the second half. Its users keep "
        "their method"
        + (
            ""
            if max(modes) == 8
            else ", and no training with it was stable, so that rules and method are not told apart"
        )
        + f". `{CONTROL}` has the method of `auto` without its rule, and without its start: it draws its rates, where "
        "`auto` begins at its defaults."
    )
    cheaper = {rule: cheaper_by_hand(results, rule) for rule in by_hand}
    counts = ", ".join(f"{count} by `{rule}`" for rule, count in cheaper.items())
    sentences.append(
        f"A step of `auto` takes {EVALUATIONS['auto']:.2f} gradients of both players or products with their Jacobian, "
        f"one of consensus 2, one of the others 1. Counted in these up to the first stable training, of "
        f"{len(found['auto'])} users each it is cheaper by hand for: {counts}."
    )
    return sentences


def cheaper_by_hand(results: study.Results, rule: str) -> int:
    """Return how many users had a stable training by a rule for fewer gradients than by `auto`."""
    cost = {name: np.where(np.isfinite(needed(results, name)), results.values(name, "gradients"), np.inf)
            for name in (rule, "auto")}  # fmt: skip
    return int((cost[rule] < cost["auto"]).sum())


def told(number: float, most: int) -> str:
    """Return a number of trainings, or that it is more than were made."""
    return f"{number:g}" if math.isfinite(number) else f"more than {most}"


def curves(results: study.Results) -> Figure:
    """Draw the fraction of users with a stable training over the number of trainings, by rule."""
    figure = Figure(figsize=(6.4, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    for place, (rule, (colour, dash)) in enumerate(zip(results.study.cells, LINES, strict=False)):
        found, most = needed(results, rule), results.study.cells[rule]["most"]
        within = [(found <= k).mean() for k in range(most + 1)]
        apart = np.array([*within, within[-1]]) + 0.012 * (place - 2)
        axes.step([*range(most + 1), most + 1], apart, where="post", color=colour, ls=dash, label=rule)
    axes.set(xlabel="trainings", ylabel="fraction of users with a stable one", ylim=(-0.06, 1.06), xlim=(0, most + 0.9))
    axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    return figure


class Users(study.Section):
    """Section with a table of the single users after that of the rules."""

    def render(self, results: study.Results) -> str:
        rules, most = list(results.study.cells), next(iter(results.study.cells.values()))["most"]
        rows = []
        for seed in results.study.seeds:
            own = {rule: results.by_cell[rule][seed] for rule in rules}
            start = own[rules[0]]["history"][0]
            rows.append([str(seed), in_words(start), *(ending(one, most) for one in own.values())])
        table = study.markdown(["user", "start", *rules], rows)
        return "\n\n".join([super().render(results), textwrap.fill(EACH, 120), table])


def ending(user: Mapping, most: int) -> str:
    """Return where a user ended: trainings, setting, stable repeats."""
    if not user["found"]:
        return f"more than {most}"
    last = user["history"][-1]
    setting = f", {in_words(last)}" if "generator" in last else ""
    return f"{user['trainings']}{setting}; again {user['again']} of {REPEATS}"


def in_words(setting: Mapping) -> str:
    """Return the rates of generator and discriminator."""
    return f"{setting['generator']:.2g}, {setting['discriminator']:.2g}"


COLUMNS = {"first": "the first training stable", "third": "within 3", "found": f"within {MOST}",
           "kept": "setting found and again stable with 2 further seeds", "gradients": "gradients taken"}  # fmt: skip
SMALL = {"--network.width": 4, "--batch-size": 64, "most": 2}
LINES = (("#d55e00", "--"), ("#009e73", "-."), ("#9aa5b1", ":"), ("#cc79a7", "--"), ("#0072b2", "-"))
CAPTION = "Fraction of users with a stable training over the number of trainings; lines that meet are drawn apart"
EACH = (
    "Each user: rates of generator and discriminator at the start, trainings until one is stable, its rates, and "
    "how many of its repeats were stable."
)
TEXT = """{steps} steps, batches of 512, both networks four hidden layers of 16 ReLU units, {seeds} users. All begin
with rates drawn log-uniformly from 1e-5 to 1e-2, each player's its own, and train by alternating gradient descent with
Adam, beta_1 = {beta}; the start and the seed of the first training are the
same under each rule. A mode counts with at least 25 of 2560 samples within 0.1; looks are every 500 steps. Fractions
are of users, with exact intervals; gradients are those of all trainings of a user, also where none was stable. `auto`
begins with its own defaults; as its setting is the same for all, the repeats of a user are the first trainings of the
next two.

The rules read the means of the second half of the steps: g of the generator's loss, d of the discriminator's, per
sample. `rate`: below d = 0.33 the discriminator's rate is divided by 5, above 1.03 multiplied by 5 (the bounds at which
[VAE-GANs](https://github.com/lucabergamini/VAEGAN-PYTORCH) pause a player; to lower its rate is
["usually enough"](https://github.com/tdeboissiere/DeepLearningImplementations/issues/11), by
[2.5](https://github.com/nivedh2004/landscape-inpainting-gan),
[4](https://github.com/Kasper-Heliophysics-MDP/TransferLearning_CNN) or
[5 to 10](https://github.com/senguptaumd/Background-Matting/issues/61)). `ratio`: from g / d = 3 on the
generator's rate is multiplied by 5, below 1/3 divided (train it more, as
[here](https://github.com/ImagingLab/Colorizing-with-GANs/issues/16) and
[here](https://github.com/ktrk115/const_layout/issues/13), by
[rates](https://github.com/ikostrikov/TensorFlow-VAE-GAN-DRAW/issues/3); 3 and 5 are ours). Under both rules, where the
losses are in balance though modes are missing, both rates are lowered if a loss swings by more than a fifth of its mean
or the run stopped ([as here](https://github.com/raspstephan/nwp-downscale/issues/46)), and where one of them is 1e-3,
Adam's default, or more; else they are raised (too small a rate [loses modes](https://github.com/pulakk/GAN_EMNIST)).
The first factor is 10, and its root after each change of direction. `random` looks at nothing: both rates anew.
`random, consensus` does so with the method of `auto`, consensus with RMSProp, and the weight 1 that is its default.
Nobody changes momentum, method or numbers of updates, and who has none after six trainings may have one later.

A first form of the rules raised both rates without the limit of 1e-3, up to 0.1, and changed numbers of updates instead
of the generator's rate; no user had a stable training, and it was given up for these, which were meant to be kinder
to the users. This page does not repeat it."""
STUDY = study.Study(
    "loss_ratio",
    run,
    cells(STEPS, USERS),
    COLUMNS,
    cells(60, (0, 1), **SMALL),
    seeds=USERS,
    trials=dict.fromkeys(("first", "third", "found", "kept"), "one"),
)
PAGE = study.Page(
    "Trainings until one is stable", __doc__, [Users(TEXT, figures={"users": (CAPTION, curves)})], verdict
)

if __name__ == "__main__":
    study.main(STUDY, PAGE)
