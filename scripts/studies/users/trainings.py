"""Trainings of many users in rounds: those of a round that differ in rates and seeds are stepped in one program."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from harness import study
from users.heuristics import RULES, Setting, Training, drawn

import gantools as gt
from gantools.cli.flags import parse_train
from gantools.errors import NonFiniteFieldError
from gantools.metrics.distances import mode_coverage
from gantools.runs.together.training import NotTogetherError, prepare_together

REPEATS = 2
LOOKS, SAMPLES = 5, 2560
SEEDS = 100  # run k of user u has seed 100 u + k, its repeats 100 u + 50 and on
FIRST_REPEAT = 50
TINY = 1e-12  # a loss below it does not swing
ENDED = "ended"  # a file in the folder of a training that is over, be it that it stopped


@dataclasses.dataclass
class User:
    """One who trains by a rule until a training is stable.

    Attributes:
        seed: of the start, which all rules share.
        rule: by name.
        setting: of the next training.
        history: the trainings so far.
        repeats: those of the setting that was found, with further seeds.
    """

    seed: int
    rule: str
    setting: Setting
    history: list[Training] = dataclasses.field(default_factory=list)
    repeats: list[Training] = dataclasses.field(default_factory=list)

    def jobs(self, most: int) -> list[tuple[Setting, int]]:
        """Return what is to be trained next: settings and seeds; nothing where the user is done."""
        if self.history and self.history[-1].stable:
            wanted = range(FIRST_REPEAT, FIRST_REPEAT + REPEATS) if not self.repeats else ()
            return [(self.setting, SEEDS * self.seed + k) for k in wanted]
        return [(self.setting, SEEDS * self.seed + len(self.history))] if len(self.history) < most else []

    def look(self, seen: Sequence[Training]) -> None:
        """Take note of what came of the jobs, and choose the next setting."""
        if self.history and self.history[-1].stable:
            self.repeats = list(seen)
            return
        self.history += seen
        if not seen[-1].stable:
            rng = np.random.default_rng([self.seed, len(self.history), 1])
            self.setting = RULES[self.rule](self.history, rng)


def begun(seed: int, rule: str) -> User:
    """Return a user before the first training."""
    return User(seed, rule, drawn(np.random.default_rng([seed, 0, 0])))


def train_all(users: Sequence[User], cell: study.Cell, root: Path) -> None:
    """Train round by round until every user is done; trainings with the same setting and seed are one."""
    while any(jobs := [user.jobs(cell["most"]) for user in users]):
        found = train_round(dict.fromkeys(job for own in jobs for job in own), cell, root)
        for user, own in zip(users, jobs, strict=True):
            if own:
                user.look([found[job] for job in own])


def train_round(
    jobs: Iterable[tuple[Setting, int]], cell: study.Cell, root: Path
) -> dict[tuple[Setting, int], Training]:
    """Train settings and seeds together."""
    jobs = list(jobs)
    print(f"{len(jobs)} trainings in one program", flush=True)
    train_group([(flags(setting, cell), seed, place(setting, seed, cell, root)) for setting, seed in jobs], cell)
    return {(setting, seed): seen(setting, place(setting, seed, cell, root), cell) for setting, seed in jobs}


def flags(setting: Setting, cell: study.Cell) -> list[str]:
    """Return the flags of a setting by hand."""
    rates = ["--optimizer.lr", f"generator={setting.generator!r},discriminator={setting.discriminator!r}"]
    if cell.get("method") == "consensus":
        return ["--optimizer", "consensus", *rates]
    adam = ["--optimizer.base", "adam", "--optimizer.base.betas", str(cell["beta"]), "0.999"]
    return ["--optimizer", "alternating", *adam, *rates]


def common(seed: int, cell: study.Cell) -> list[str]:
    """Return the flags that all trainings share."""
    own = [word for name, value in cell.items() if name.startswith("--") for word in (name, str(value))]
    every = {"--data": "ring8", "--steps": cell["steps"], "--seed": seed, "--sample-every": 0, "--spectrum-every": 0,
             "--checkpoint-every": max(1, cell["steps"] // LOOKS), "--keep-last": LOOKS,
             "--log-every": max(1, cell["steps"] // 50)}  # fmt: skip
    return [*own, *(str(word) for pair in every.items() for word in pair)]


def place(setting: Setting, seed: int, cell: study.Cell, root: Path) -> Path:
    """Return the run folder of a training."""
    return (
        root
        / f"trainings{cell.get('method', '')}"
        / f"g{setting.generator:.4g}-d{setting.discriminator:.4g}-seed{seed}"
    )


def train_group(group: Sequence[tuple[list[str], int, Path]], cell: study.Cell) -> None:
    """Train what is not trained yet, together where that can be; a run that stopped stays stopped."""
    todo = [(args, seed, path) for args, seed, path in group if not ended(path)]
    configs = [parse_train([*args, *common(seed, cell)]).config for args, seed, _ in todo]
    if not todo:
        return
    try:
        outcomes = prepare_together(configs, [path for *_, path in todo]).run()
    except NotTogetherError:
        for args, seed, path in todo:
            alone(args, seed, path, cell)
        return
    if any(getattr(outcome, "stopped_by", None) for outcome in outcomes):
        raise KeyboardInterrupt
    for *_, path in todo:
        (path / ENDED).touch()


def alone(args: Sequence[str], seed: int, path: Path, cell: study.Cell) -> None:
    """Train one GAN; one that is not finite stops."""
    if ended(path):
        return
    try:
        run, _ = study.train_gan([*args, *common(seed, cell)], path)
        if cell["steps"] not in run.steps():
            raise KeyboardInterrupt
    except NonFiniteFieldError as error:
        print(error, flush=True)
    (path / ENDED).touch()


def ended(path: Path) -> bool:
    """Return whether a training was carried to its end, be it that it stopped."""
    return (path / ENDED).exists()


def seen(setting: Setting, path: Path, cell: study.Cell) -> Training:
    """Return what a user sees of a training that has ended."""
    run = study.RunFolder(path)
    if cell["steps"] not in run.steps():
        return Training(setting, 0)
    looks = [step for step in run.steps() if step > cell["steps"] / 2]
    logged = [r for r in run.metrics() if r["step"] > cell["steps"] / 2 and "loss/generator" in r]
    g = np.array([r["loss/generator"] for r in logged])
    d = np.array([r["loss/discriminator"] for r in logged]) / 2
    swing = max(float(loss.std() / max(loss.mean(), TINY)) for loss in (g, d))
    return Training(setting, least_modes(path, looks), float(g.mean()), float(d.mean()), swing)


def least_modes(path: Path, steps: Sequence[int]) -> int:
    """Return the fewest modes of the ring at some checkpoints, by the samples and the threshold that training logs."""
    run = gt.load(path)
    source = run.experiment.source
    assert source is not None and source.modes is not None and source.radius is not None
    samples = [run.at(step).sample(SAMPLES) for step in steps]
    return min(mode_coverage(x, source.modes, source.radius, minimum=None).covered for x in samples)


def by_auto(seed: int, users: Sequence[int], cell: study.Cell, root: Path) -> User:
    """Return a user who trains with `auto`, which takes no setting, again and again until a training is stable.

    Its setting is that of all users, so that the first trainings of the next two users are its repeats.
    """
    user = User(seed, "auto", Setting(math.nan, math.nan))
    while len(user.history) < cell["most"] and not (user.history and user.history[-1].stable):
        user.history.append(auto_training(SEEDS * seed + len(user.history), cell, root))
    after = [*users[users.index(seed) + 1 :], *users[: users.index(seed)]]
    user.repeats = [auto_training(SEEDS * other, cell, root) for other in after[:REPEATS]]
    return user


def auto_training(seed: int, cell: study.Cell, root: Path) -> Training:
    """Return what a user sees of a training with `auto`."""
    path = root / "trainings" / f"auto-seed{seed}"
    alone(["--optimizer", "auto"], seed, path, cell)
    return seen(Setting(math.nan, math.nan), path, cell)
