"""The configuration of a training run: one dataclass for the library, the command line, and the run folder."""

import dataclasses
import typing
from dataclasses import MISSING
from typing import Any

from gantools.errors import GantoolsError
from gantools.registry import setting

_CHOICES = ("optimizer", "data", "network", "average")
_MEASURED = "0 for never; the first and the last step are always measured"
WHICH = ("LM", "LR", "SR", "LI")


@dataclasses.dataclass(frozen=True)
class Choice:
    """One entry of a registry, with its settings; `{"name": "consensus", "gamma": 10.0}` in a file."""

    name: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {"name": self.name, **_encoded(self.settings)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Choice":
        """Return the choice that `to_dict` wrote."""
        return cls(values["name"], {k: _decoded(v) for k, v in values.items() if k != "name"})


def _encoded(value: Any) -> Any:
    if isinstance(value, Choice):
        return value.to_dict()
    if isinstance(value, dict):
        return {k: _encoded(v) for k, v in value.items()}
    return [_encoded(v) for v in value] if isinstance(value, list) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return Choice.from_dict(value) if "name" in value else {k: _decoded(v) for k, v in value.items()}
    return [_decoded(v) for v in value] if isinstance(value, list) else value


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a run computes, and how often it is measured.

    Each field has a help text in its metadata; `gantools train` shows it with the flag of the field's name.

    Attributes:
        target: FILE.py:FUNCTION of a user's own game, or None for a GAN of the registries.
        optimizer: the method; its base is a choice of its own, and so is a schedule where a number may be one.
        threads: of the CPU. Sums are grouped by them, so they belong to what decides a run bit for bit.
    """

    optimizer: Choice = setting(MISSING, "game optimizer")
    target: str | None = setting(None, "FILE.py:FUNCTION of a game of your own")
    data: Choice = setting(Choice("digits"), "ring8, grid25, digits, mnist5k, faces, folder:PATH or FILE.npy")
    network: Choice = setting(Choice("dcgan"), "both players' networks")
    loss: str = setting("nonsaturating", "objective")
    own_loss: str = setting("", "objective in place of that of a GAN of your own; the file's by default")
    activation: str = setting(
        "", "hidden activation of both networks, as relu or esp(beta=2.0); the network's own by default"
    )
    regularizers: tuple[Choice, ...] = setting((), "terms added to the loss")
    latent_size: int = setting(16, "dimension of the latent")
    batch_size: int = setting(64, "samples in a batch")
    accumulate: int = setting(
        1, "parts in which the field of a batch is computed, for less memory; the step is the same"
    )
    compile: bool = setting(
        False, "run each step as one compiled graph: minutes of compiling, said beforehand, and shorter steps after it"
    )
    average: Choice = setting(Choice("none"), "of the iterates: what samples are taken from")
    steps: int = setting(1000, "updates in all, those before a --resume included")
    seed: int = setting(0, "of parameters, data order and latents")
    device: str = setting("auto", "auto, cpu, cuda, cuda:1, ...")
    threads: int = setting(0, "CPU threads; 0: one for a small game, else PyTorch's default")
    log_every: int = setting(10, "steps between logged losses")
    sample_every: int = setting(250, f"steps between samples and metrics; {_MEASURED}")
    spectrum_every: int = setting(250, f"steps between spectra of the Jacobian; {_MEASURED}")
    spectrum_k: int = setting(20, "leading eigenvalues; 0 for all, dense")
    spectrum_which: str = setting(
        "LM", "which eigenvalues lead: by modulus, largest or smallest real part, imaginary part"
    )
    checkpoint_every: int = setting(250, "steps between checkpoints; the last one always")
    keep_last: int = setting(
        5,
        "checkpoints kept: this many of the newest, and those of --keep-every and of steps with a spectrum or another "
        "analysis in the folder; 0 keeps all",
    )
    keep_every: int = setting(0, "checkpoints of multiples of this many steps are kept too; 0 for none")

    def __post_init__(self) -> None:
        require_positive(latent_size=self.latent_size, batch_size=self.batch_size, accumulate=self.accumulate)
        for name in (
            "steps",
            "seed",
            "threads",
            "log_every",
            "sample_every",
            "spectrum_every",
            "spectrum_k",
            "checkpoint_every",
            "keep_last",
            "keep_every",
        ):
            if getattr(self, name) < 0:
                raise GantoolsError(f"--{name.replace('_', '-')} is {getattr(self, name)}: pass 0 or more.")
        if self.spectrum_which not in WHICH:
            raise GantoolsError(f"--spectrum-which is {self.spectrum_which}: pass one of {', '.join(WHICH)}.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in _CHOICES:
            values[name] = values[name].to_dict()
        values["regularizers"] = [r.to_dict() for r in self.regularizers]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """Return the configuration that `to_dict` wrote; what older runs lack is as it was for them."""
        values = {"keep_last": 0, "keep_every": 0, "own_loss": "", "compile": False, **values}
        for name in _CHOICES:
            values[name] = Choice.from_dict(values[name])
        values["regularizers"] = tuple(Choice.from_dict(r) for r in values["regularizers"])
        for name, kind in typing.get_type_hints(cls).items():
            if typing.get_origin(kind) is not tuple and not isinstance(values.get(name), kind):
                raise TypeError(f"{name} is {values.get(name)!r}")
        return cls(**values)


def require_positive(**flags: int | None) -> None:
    """Refuse a count below 1 of the command line, by the name of its flag; None stands for a default."""
    for name, count in flags.items():
        if count is not None and count < 1:
            raise GantoolsError(f"--{name.replace('_', '-')} is {count}: pass at least 1.")


# What may change when a run is resumed without it becoming another run.
RESUMABLE = (
    "steps",
    "device",
    "compile",
    "log_every",
    "sample_every",
    "spectrum_every",
    "spectrum_k",
    "spectrum_which",
    "checkpoint_every",
    "keep_last",
    "keep_every",
)
# What may change too, and makes it another run from that step on: config.json records it.
CHANGEABLE = ("optimizer.lr",)


def changed_settings(stored: TrainConfig, given: TrainConfig) -> dict[str, list[Any]]:
    """Return {name: [old, new]} of the settings that change what a resumed run computes from here on.

    Raises:
        GantoolsError: for a setting that cannot change within a run.
    """
    old, new = flat(stored.to_dict()), flat(given.to_dict())
    changed = {name: [old.get(name), new.get(name)] for name in sorted(old | new) if old.get(name) != new.get(name)}
    for name in [name for name in changed if name in RESUMABLE]:
        del changed[name]
    for name, (before, now) in changed.items():
        if not any(name == free or name.startswith(f"{free}.") for free in CHANGEABLE):
            raise GantoolsError(
                f"This run was started with {name} = {before}, not {now}: resume it without that "
                "flag, or start a new run with another --out."
            )
    return changed


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one dictionary, named as the flags are: "optimizer.base.alpha"."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = prefix + key
        if isinstance(value, dict):
            found |= flat(value, f"{name}.")
        else:
            found[name.removesuffix(".name")] = value
    return found
