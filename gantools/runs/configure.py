"""Make a complete configuration from the values that are given: whatever is left out is as recommended for the data."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from gantools.data.sources import DATA, parse_spec
from gantools.errors import GantoolsError
from gantools.losses import LOSSES
from gantools.networks import NETWORKS
from gantools.registry import suggest
from gantools.regularizers import REGULARIZERS
from gantools.runs.config import Choice, TrainConfig
from gantools.trainers import BASES, OPTIMIZERS
from gantools.trainers.averages import AVERAGES

# "optimizer" serves every method, an entry under a method's name that method alone. Those of ring8 are the settings of
# The Numerics of GANs. What "auto" begins with is the same everywhere: it finds its own.
_PLANE = {
    "network": Choice("mlp"), "steps": 20_000, "batch_size": 512, "latent_size": 16, "every": 2000,
    "optimizer": {"lr": 1e-4, "base": "rmsprop"}, "consensus": {"gamma": 10.0},
}  # fmt: skip
_IMAGES = {
    "network": Choice("dcgan"), "steps": 20_000, "batch_size": 64, "latent_size": 64, "every": 1000,
    "optimizer": {"lr": 2e-4, "base": "rmsprop"}, "consensus": {"gamma": 1.0},
    "auto": {"lr": 1e-4},
}  # fmt: skip
RECOMMENDED: dict[str, dict[str, Any]] = {
    "ring8": _PLANE,
    "grid25": {**_PLANE, "batch_size": 500},
    "npy": {**_PLANE, "batch_size": 64},
    "folder": _IMAGES,
    "mnist5k": {**_IMAGES, "network": Choice("dcgan", {"width": 32})},
    "faces": {**_IMAGES, "network": Choice("mlp", {"width": 64}), "batch_size": 32, "every": 500},
    "digits": {
        **_IMAGES, "network": Choice("dcgan", {"width": 16}), "steps": 3000, "latent_size": 32, "every": 500,
        "optimizer": {"lr": 1e-3, "base": "rmsprop"},
    },
}  # fmt: skip
OWN_GAME: dict[str, Any] = {
    "steps": 1000,
    "every": 100,
    "batch_size": 64,
    "latent_size": 16,
    "optimizer": {"lr": 1e-4, "base": "sgd"},
}


def configure(
    optimizer: Choice | None = None,
    *,
    base: Choice | Mapping[str, Choice] | None = None,
    target: str | None = None,
    data: Choice | None = None,
    network: Choice | None = None,
    regularizers: Sequence[Choice] | None = None,
    average: Choice | None = None,
    stored: TrainConfig | None = None,
    **values: Any,
) -> TrainConfig:
    """Return a configuration in which every setting of every choice is spelled out.

    A choice keeps the settings that it does not give itself where it has the name of the stored or recommended one.

    Args:
        optimizer: the method; consensus by default.
        base: its base rule, or each player's by name.
        target: FILE.py:FUNCTION of a user's own game, which has no data and network of the registries.
        data: the data set; the digits by default.
        network: both players' networks.
        regularizers: terms added to the loss.
        average: of the iterates.
        stored: the configuration of a run that goes on, in place of the recommended one.
        values: the other fields of `TrainConfig`.

    Raises:
        GantoolsError: for an unknown name of a choice or of a setting.
    """
    advice: Mapping[str, Any] = OWN_GAME
    choices: dict[str, Any] = {}
    if target is None:
        data = _over(data, stored.data if stored else Choice("digits"))
        kind = parse_spec(data.name)[0]
        advice = RECOMMENDED[kind]
        network = _over(network, stored.network if stored else advice["network"])
        choices["network"] = completed(NETWORKS[network.name], network)
        choices["data"] = completed(DATA[kind], data)
        choices["loss"] = values.pop("loss", stored.loss if stored else TrainConfig.loss)
        LOSSES.require(choices["loss"])
    choices["regularizers"] = _regularizers(regularizers, stored.regularizers if stored else ())
    optimizer = _over(optimizer, stored.optimizer if stored else Choice("consensus"))
    choices["optimizer"] = _optimizer(optimizer, base, advice)
    average = _over(average, stored.average if stored else Choice("none"))
    choices["average"] = average if average.name == "none" else completed(AVERAGES[average.name], average)
    if stored is not None:
        return dataclasses.replace(stored, target=target, **choices, **values)
    advised: dict[str, Any] = {name: advice[name] for name in ("steps", "batch_size", "latent_size")}
    advised |= dict.fromkeys(("sample_every", "spectrum_every", "checkpoint_every"), advice["every"])
    return TrainConfig(target=target, **choices, **advised | values)


def completed(entry: Any, choice: Choice) -> Choice:
    """Return a choice with all settings of a registry's entry as plain values: those given, and defaults elsewhere."""
    fields = {f.name: f for f in dataclasses.fields(entry) if f.name != "game"}
    for name in choice.settings:
        if name not in fields:
            raise suggest(f"setting of {choice.name!r}", name, fields)
    settings = {}
    for name, field in fields.items():
        value = choice.settings.get(name, field.default)
        if name == "base" and isinstance(value, Mapping):
            value = {player: completed(BASES[base.name], base) for player, base in value.items()}
        elif name == "base":
            base = value if isinstance(value, Choice) else Choice(value)
            value = completed(BASES[base.name], base)
        settings[name] = list(value) if isinstance(value, tuple) else value
    return Choice(choice.name, settings)


def _over(given: Choice | None, default: Choice) -> Choice:
    """Return the given choice, with the settings of a default of the same name where it gives none."""
    if given is None:
        return default
    return Choice(given.name, {**default.settings, **given.settings}) if given.name == default.name else given


def _base_over(given: Choice | Mapping[str, Choice], default: Any) -> Any:
    """Return the given base rule, or each player's, over the default one, or each player's."""
    if isinstance(given, Mapping):
        old = default if isinstance(default, Mapping) else dict.fromkeys(given, default)
        return {player: _base_over(base, old.get(player, base)) for player, base in given.items()}
    if isinstance(default, Mapping):
        return given
    return _over(given, default if isinstance(default, Choice) else Choice(default))


def _optimizer(chosen: Choice, base: Choice | Mapping[str, Choice] | None, advice: Mapping[str, Any]) -> Choice:
    if chosen.name in BASES and chosen.name not in OPTIMIZERS:
        raise GantoolsError(
            f"{chosen.name} is a base rule, which the direction of every method goes through: write --optimizer "
            f"simultaneous --optimizer.base {chosen.name}."
        )
    entry = OPTIMIZERS[chosen.name]
    fields = {f.name for f in dataclasses.fields(entry)}  # type: ignore[arg-type]
    advised = {k: v for k, v in {**advice["optimizer"], **advice.get(chosen.name, {})}.items() if k in fields}
    settings = {**advised, **chosen.settings}
    if base is not None and "base" in settings:
        settings["base"] = _base_over(base, settings["base"])
    return completed(entry, Choice(chosen.name, settings))


def _regularizers(given: Sequence[Choice] | None, stored: Sequence[Choice]) -> tuple[Choice, ...]:
    known = {choice.name: choice for choice in stored}
    chosen = list(stored) if given is None else [_over(choice, known.get(choice.name, choice)) for choice in given]
    names = [choice.name for choice in chosen]
    for name in names:
        REGULARIZERS.require(name)
        if names.count(name) > 1:
            raise GantoolsError(f"--regularizer names {name} twice: name each once, and set its weight.")
    return tuple(completed(REGULARIZERS[choice.name], choice) for choice in chosen)
