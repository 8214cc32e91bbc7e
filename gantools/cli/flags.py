"""The flags of `gantools train`, made from the same dataclasses that the library uses.

Parsing has two stages. First the choices (`--optimizer consensus`) are read; then the settings of what was chosen
become flags of their own (`--optimizer.gamma 10`), so that a flag of another method is an error and not ignored.
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from gantools.cli.schedule_text import EXAMPLE, number_text, parse_number, parse_rate, rate_text, takes_schedule
from gantools.data.sources import DATA, parse_spec
from gantools.errors import GantoolsError
from gantools.losses import LOSSES
from gantools.networks import NETWORKS
from gantools.regularizers import REGULARIZERS
from gantools.runs.config import WHICH, Choice, TrainConfig, read_config, require_same_run
from gantools.runs.defaults import OWN_GAME, RECOMMENDED
from gantools.runs.user_file import is_target
from gantools.trainers.averages import AVERAGES
from gantools.trainers.base_rules import BASES
from gantools.trainers.optimizer import OPTIMIZERS


@dataclasses.dataclass(frozen=True)
class TrainRequest:
    """What the user asked for."""

    config: TrainConfig
    out: Path | None
    resume: bool
    dry_run: bool


def parse_train(argv: Sequence[str], prog: str = "gantools train") -> TrainRequest:
    """Return the configuration that the arguments describe; an unknown flag exits with 2 and names the nearest ones.

    With `--resume`, what the run folder stores takes the place of the defaults.
    """
    argv = list(argv)
    target = next((word for word in argv if is_target(word)), None)
    if target is not None:
        argv.remove(target)
    elif argv and not argv[0].startswith("-"):
        raise GantoolsError(f"{argv[0]!r} is not FILE.py:FUNCTION; to choose a data set write --data {argv[0]}.")
    stored = None
    if "--resume" in argv:
        out = _chosen(argv, "--out")
        if not out:
            raise GantoolsError("--resume needs the run: add --out with the folder to go on in.")
        stored = read_config(Path(out[0]) / "config.json")
        target = target or stored.target
    choices = Choices.of(argv, target, stored)
    form = _form(choices)
    description = (
        "Train a GAN, or your own game (FILE.py:FUNCTION returning (game, batches)), with a game optimizer. The "
        "settings shown are those of what is chosen: `--optimizer lookahead --help` shows lookahead's."
    )
    answers = vars(tyro.cli(form, args=argv, prog=prog, description=description))
    config = _config(choices, answers)
    if stored is not None:
        require_same_run(stored, config)
    return TrainRequest(config, answers["out"], answers["resume"], answers["dry_run"])


@dataclasses.dataclass(frozen=True)
class Choices:
    """The first stage: what was chosen on each axis, with the defaults of its settings."""

    target: str | None
    optimizer: Choice
    data: Choice | None
    network: Choice | None
    regularizers: tuple[Choice, ...]
    average: Choice
    plain: dict[str, Any]

    @classmethod
    def of(cls, argv: Sequence[str], target: str | None, stored: TrainConfig | None) -> "Choices":
        """Read the choices from the arguments; what is not there comes from the stored run or the data set."""
        data = network = None
        regularizers: tuple[Choice, ...] = ()
        if target is None:
            data = _choose(argv, "--data", stored.data if stored else Choice("digits"))
            advice = RECOMMENDED[parse_spec(data.name)[0]]
            network = _choose(argv, "--network", stored.network if stored else advice["network"])
            regularizers = _choose_regularizers(argv, stored.regularizers if stored else ())
            NETWORKS.require(network.name)
            LOSSES.require(_choose(argv, "--loss", Choice(stored.loss if stored else "nonsaturating")).name)
        else:
            advice = OWN_GAME
        optimizer = _choose_optimizer(argv, stored.optimizer if stored else Choice("consensus"), advice)
        plain = {k: v for k, v in advice.items() if k in ("steps", "batch_size", "latent_size")}
        plain |= dict.fromkeys(("sample_every", "spectrum_every", "checkpoint_every"), advice["every"])
        if stored:
            plain = {f.name: getattr(stored, f.name) for f in dataclasses.fields(TrainConfig)}
        average = _choose(argv, "--average", stored.average if stored else Choice("none"))
        if average.name != "none":
            AVERAGES.require(average.name)
        return cls(target, optimizer, data, network, regularizers, average, plain)


def _choose_optimizer(argv: Sequence[str], default: Choice, advice: Mapping[str, Any]) -> Choice:
    chosen = _choose(argv, "--optimizer", default)
    if chosen.name in BASES and chosen.name not in OPTIMIZERS:
        raise GantoolsError(
            f"{chosen.name} is a base rule, which the direction of every method goes through: write --optimizer "
            f"simultaneous --optimizer.base {chosen.name}."
        )
    fields = {f.name for f in dataclasses.fields(OPTIMIZERS[chosen.name])}  # type: ignore[arg-type]
    advised = {**advice["optimizer"], **advice.get(chosen.name, {})}
    settings = {**{k: v for k, v in advised.items() if k in fields}, **chosen.settings}
    if "base" in settings:
        base = settings["base"]
        settings["base"] = _choose(argv, "--optimizer.base", base if isinstance(base, Choice) else Choice(base))
        BASES.require(settings["base"].name)
    return Choice(chosen.name, settings)


def _choose_regularizers(argv: Sequence[str], stored: Sequence[Choice]) -> tuple[Choice, ...]:
    known = {choice.name: choice for choice in stored}
    names = _chosen(argv, "--regularizer") or list(known)
    for name in names:
        REGULARIZERS.require(name)
        if names.count(name) > 1:
            raise GantoolsError(f"--regularizer names {name} twice: name each once, and set its weight.")
    return tuple(known.get(name, Choice(name)) for name in names)


def _chosen(argv: Sequence[str], flag: str) -> list[str]:
    """Return the words after a flag, up to the next one, wherever it stands; also those of --flag=word."""
    words: list[str] = []
    inside = False
    for word in argv:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            inside = name == flag
            words += [value] if inside and equals else []
        elif inside:
            words.append(word)
    return words


def _choose(argv: Sequence[str], flag: str, default: Choice) -> Choice:
    """Return the choice named after a flag; the default keeps its settings, another choice begins with its own."""
    words = _chosen(argv, flag)
    return default if not words or words[-1] == default.name else Choice(words[-1])


# The second stage: a dataclass made to measure, for tyro -------------------------------------------------------------


def _field(name: str, kind: Any, default: Any, help: str, flag: str | None = None) -> tuple[str, Any, Any]:
    default = dataclasses.field(default_factory=default) if isinstance(default, type) else default
    return name, Annotated[kind, tyro.conf.arg(help=help, name=flag)], default


def _names(names: Mapping[str, Any]) -> Any:
    return Literal[tuple(names)]


def _settings(cls: Any, defaults: Mapping[str, Any], name: str) -> type | None:
    """Return a dataclass of a registry entry's settings with these defaults, or None where it has none."""
    hints = typing.get_type_hints(cls)
    fields = []
    for f in dataclasses.fields(cls):
        if f.name == "game":
            continue
        default = defaults.get(f.name, f.default)
        help = f.metadata.get("help", "")
        if f.name == "lr":
            text = f"{help}, as generator=1e-4,discriminator=4e-4; or a schedule, as {EXAMPLE}"
            fields.append(_field("lr", str, rate_text(default), text))
        elif takes_schedule(hints[f.name]):
            several = isinstance(default, (tuple, list))
            texts = tuple(map(number_text, default)) if several else number_text(default)
            kind = tuple[(str,) * len(texts)] if several else str
            fields.append(_field(f.name, kind, texts, f"{help}; or a schedule"))
        elif f.name == "base":
            fields.append(_field("base_name", _names(BASES), default.name, help, flag="base"))
            nested = _settings(BASES[default.name], default.settings, "base")
            if nested:
                fields.append(_field("base", nested, nested, ""))
        else:
            default = tuple(default) if isinstance(default, list) else default
            fields.append(_field(f.name, hints[f.name], default, help))
    return dataclasses.make_dataclass(name, fields) if fields else None


def _form(choices: Choices) -> type:
    plain, default = choices.plain, TrainConfig(Choice(""))
    fields = [_field("optimizer_name", _names(OPTIMIZERS), choices.optimizer.name, "game optimizer", flag="optimizer")]
    nested: list[tuple[str, type | None]] = [
        ("optimizer", _settings(OPTIMIZERS[choices.optimizer.name], choices.optimizer.settings, "optimizer"))
    ]
    if choices.data and choices.network:
        spec = parse_spec(choices.data.name)[0]
        activations = "hidden activation of both networks, as relu or esp(beta=2.0); the network's own by default"
        fields += [
            _field("data_name", str, choices.data.name, "ring8, grid25, digits, folder:PATH or FILE.npy", flag="data"),
            _field("network_name", _names(NETWORKS), choices.network.name, "both players' networks", flag="network"),
            _field("activation", str, plain.get("activation", default.activation), activations),
            _field("loss", _names(LOSSES), plain.get("loss", default.loss), "objective"),
            _field("regularizer_names", tuple[str, ...], tuple(r.name for r in choices.regularizers),
                   f"terms added to the loss: {', '.join(REGULARIZERS)}", flag="regularizer"),
            _field("latent_size", int, plain["latent_size"], "dimension of the latent"),
            _field("batch_size", int, plain["batch_size"], "samples in a batch"),
        ]  # fmt: skip
        nested += [
            ("data", _settings(DATA[spec], choices.data.settings, "data")),
            ("network", _settings(NETWORKS[choices.network.name], choices.network.settings, "network")),
            ("regularizer", _regularizer_settings(choices.regularizers)),
        ]
    looks = "0 for never; the first and the last step are always looked at"
    fields += [
        _field("accumulate", int, plain.get("accumulate", default.accumulate),
               "parts in which the field of a batch is computed, for less memory; the step is the same"),
        _field("average_name", Literal[("none", *AVERAGES)], choices.average.name,
               "of the iterates: what samples are taken from", flag="average"),
        _field("steps", int, plain["steps"], "updates in all, those before a --resume included"),
        _field("spectrum_every", int, plain["spectrum_every"], f"steps between spectra of the Jacobian; {looks}"),
        _field("spectrum_k", int, plain.get("spectrum_k", default.spectrum_k), "leading eigenvalues; 0 for all, dense"),
        _field("spectrum_which", Literal[WHICH], plain.get("spectrum_which", default.spectrum_which),
               "which eigenvalues lead: by modulus, largest or smallest real part, imaginary part"),
        _field("sample_every", int, plain["sample_every"], f"steps between samples and metrics; {looks}"),
        _field("checkpoint_every", int, plain["checkpoint_every"], "steps between checkpoints; the last one always"),
        _field("log_every", int, plain.get("log_every", default.log_every), "steps between logged losses"),
        _field("out", Path | None, None, "run folder; by default a new one in runs/"),
        _field("resume", bool, False, "go on with the run in --out"),
        _field("device", str, plain.get("device", default.device), "auto, cpu, cuda, cuda:1, ..."),
        _field("threads", int, plain.get("threads", default.threads), "CPU threads; 0: one for a small game"),
        _field("seed", int, plain.get("seed", default.seed), "of parameters, data order and latents"),
        _field("dry_run", bool, False, "print the configuration and stop"),
    ]  # fmt: skip
    if choices.average.name != "none":
        nested.append(("average", _settings(AVERAGES[choices.average.name], choices.average.settings, "average")))
    fields += [_field(name, kind, kind, "") for name, kind in nested if kind is not None]
    return dataclasses.make_dataclass("train", fields)


def _regularizer_settings(choices: Sequence[Choice]) -> type | None:
    """One regularizer: --regularizer.gamma. Several: --regularizer.r1.gamma, --regularizer.r2.gamma."""
    if len(choices) == 1:
        return _settings(REGULARIZERS[choices[0].name], choices[0].settings, "regularizer")
    each = [(c.name, _settings(REGULARIZERS[c.name], c.settings, c.name)) for c in choices]
    fields = [_field(name, kind, kind, "") for name, kind in each if kind is not None]
    return dataclasses.make_dataclass("regularizer", fields) if fields else None


# From the answers to a configuration ---------------------------------------------------------------------------------


def _config(choices: Choices, answers: dict[str, Any]) -> TrainConfig:
    values = {f.name: answers[f.name] for f in dataclasses.fields(TrainConfig) if f.name in answers}
    values["target"] = choices.target
    values["optimizer"] = Choice(
        choices.optimizer.name, _read(OPTIMIZERS[choices.optimizer.name], answers.get("optimizer", {}))
    )
    values["average"] = Choice(choices.average.name, _plain(answers.get("average", {})))
    if choices.data and choices.network:
        values["data"] = Choice(choices.data.name, _plain(answers.get("data", {})))
        values["network"] = Choice(choices.network.name, _plain(answers.get("network", {})))
        given = _plain(answers.get("regularizer", {}))
        alone = len(choices.regularizers) == 1
        values["regularizers"] = tuple(
            Choice(r.name, _read(REGULARIZERS[r.name], given if alone else given.get(r.name, {})))
            for r in choices.regularizers
        )
    return TrainConfig(**values)


def _read(cls: Any, answers: Any) -> dict[str, Any]:
    """Return the settings that the answers of `_settings(cls, ...)` spell out."""
    settings, hints = _plain(answers), typing.get_type_hints(cls)
    if "base_name" in settings:
        base = settings.pop("base_name")
        settings["base"] = Choice(base, _read(BASES[base], settings.get("base", {})))
    for key, text in settings.items():
        if key == "lr":
            settings[key] = parse_rate(text)
        elif key != "base" and takes_schedule(hints[key]):
            settings[key] = list(map(parse_number, text)) if isinstance(text, list) else parse_number(text)
    return settings


def _plain(value: Any) -> Any:
    """Return nested dataclasses as dictionaries and tuples as lists, so that a stored configuration compares equal."""
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value
