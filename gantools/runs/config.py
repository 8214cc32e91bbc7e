"""The configuration of a training run: one dataclass for the library, the command line, and the run folder."""

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

from gantools.errors import GantoolsError, require_positive

_CHOICES = ("optimizer", "data", "network", "average")
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
    """Everything that decides what a run computes, and how often it looks.

    Attributes:
        target: FILE.py:FUNCTION of a user's own game, or None for a GAN of the registries.
        data, network, loss, activation, regularizers, latent_size: the GAN.
        optimizer: the method; its base is a choice of its own, and so is a schedule where a number may be one.
        accumulate: in how many parts the field of a batch is computed, for less memory; the step is the same.
        average: of the iterates, "none", "ema" or "uniform"; what is sampled from then.
        batch_size, steps, seed, device: the run.
        threads: of the CPU; sums are grouped by them, so they belong to what decides a run bit for bit. 0: one for a
            game below `SMALL_GAME` parameters, else PyTorch's default.
        log_every, sample_every, spectrum_every, checkpoint_every: after how many steps; 0 for never.
        spectrum_k: how many leading eigenvalues of the Jacobian; 0 for all, by a dense matrix.
        spectrum_which: which are leading: LM (modulus), LR, SR (real part), LI (imaginary part).
    """

    optimizer: Choice
    target: str | None = None
    data: Choice = Choice("digits")
    network: Choice = Choice("dcgan")
    loss: str = "nonsaturating"
    activation: str = ""
    regularizers: tuple[Choice, ...] = ()
    latent_size: int = 16
    batch_size: int = 64
    accumulate: int = 1
    average: Choice = Choice("none")
    steps: int = 1000
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    log_every: int = 10
    sample_every: int = 250
    spectrum_every: int = 250
    spectrum_k: int = 20
    spectrum_which: str = "LM"
    checkpoint_every: int = 250

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
        """Return the configuration that `to_dict` wrote."""
        values = dict(values)
        for name in _CHOICES:
            values[name] = Choice.from_dict(values[name])
        values["regularizers"] = tuple(Choice.from_dict(r) for r in values["regularizers"])
        for name, kind in typing.get_type_hints(cls).items():
            if typing.get_origin(kind) is not tuple and not isinstance(values.get(name), kind):
                raise TypeError(f"{name} is {values.get(name)!r}")
        return cls(**values)


# What may change when a run is resumed without it becoming another run.
RESUMABLE = (
    "steps",
    "device",
    "log_every",
    "sample_every",
    "spectrum_every",
    "spectrum_k",
    "spectrum_which",
    "checkpoint_every",
)


def require_same_run(stored: TrainConfig, given: TrainConfig) -> None:
    """Refuse to resume a run under settings that would have computed something else."""
    old, new = _flat(stored.to_dict()), _flat(given.to_dict())
    for name in old | new:
        if name not in RESUMABLE and old.get(name) != new.get(name):
            raise GantoolsError(
                f"This run was started with {name} = {old.get(name)}, not {new.get(name)}: resume it without that "
                "flag, or start a new run with another --out."
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one dictionary, named as the flags are: "optimizer.base.alpha"."""
    flat = {}
    for key, value in values.items():
        name = prefix + key
        if isinstance(value, dict):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name.removesuffix(".name")] = value
    return flat


def read_config(path: Path) -> TrainConfig:
    """Return the configuration stored in a run folder's config.json."""
    try:
        return TrainConfig.from_dict(json.loads(path.read_text())["config"])
    except FileNotFoundError:
        raise GantoolsError(
            f"{path.parent} is not a run folder (it holds no {path.name}): pass the folder that `gantools train` wrote."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GantoolsError(
            f"{path} is damaged ({type(error).__name__}: {error}): restore it, or start a new run."
        ) from None
    except OSError as error:
        raise GantoolsError(f"{path} cannot be read ({error.strerror}): check the path and its permissions.") from None
