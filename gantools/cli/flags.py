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

from gantools.cli.arguments import CODE_HELP, TRUST_HELP
from gantools.cli.schedule_text import (
    BASE_EXAMPLE,
    EXAMPLE,
    bases_text,
    number_text,
    parse_bases,
    parse_number,
    parse_rate,
    rate_text,
    takes_schedule,
)
from gantools.data.sources import DATA, parse_spec
from gantools.errors import GantoolsError
from gantools.losses import LOSSES
from gantools.networks import NETWORKS
from gantools.regularizers import REGULARIZERS
from gantools.runs.code.trust import CodeChoice
from gantools.runs.config import WHICH, Choice, TrainConfig, changed_settings, require_positive
from gantools.runs.configure import configure
from gantools.runs.record import damaged
from gantools.runs.store.folder import RunFolder
from gantools.runs.user_file import is_target
from gantools.trainers.averages import AVERAGES
from gantools.trainers.base_rules import BASES
from gantools.trainers.optimizer import OPTIMIZERS


@dataclasses.dataclass(frozen=True)
class TrainRequest:
    """A parsed command line of `gantools train`.

    Attributes:
        config: the configuration to train.
        out: the run folder, if one was chosen.
        resume: whether to go on with the run in `out`.
        dry_run: whether to print the configuration and stop.
        code: for a file of the user's that changed since the run began, which text to go on with.
        trust: whether to execute a file that the run brings along and this machine does not know.
        copies: number of runs, of the configuration's seed and those after it.
    """

    config: TrainConfig
    out: Path | None
    resume: bool
    dry_run: bool
    code: CodeChoice | None
    trust: bool
    copies: int


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
    stored, out = None, _chosen(argv, "--out")
    if "--resume" in argv and _chosen(argv, "--copies"):
        raise GantoolsError("--copies goes on by itself with the runs that --out holds: leave --resume out.")
    if "--resume" in argv:
        if not out:
            raise GantoolsError("--resume needs the run: add --out with the folder to go on in.")
        stored = RunFolder(out[0]).record().config
        target = target or stored.target
    description = (
        "Train a GAN, or your own game (FILE.py:FUNCTION returning (game, batches)), with a game optimizer. The "
        "settings shown are those of what is chosen: `--optimizer lookahead --help` shows lookahead's."
    )
    try:
        defaults = _defaults(argv, target, stored)
        answers = vars(tyro.cli(_form(defaults), args=argv, prog=prog, description=description))
        config = _config(defaults, answers)
    except (AttributeError, TypeError, KeyError) as error:
        if stored is None:
            raise
        raise damaged(RunFolder(out[0]).config_path, f"{type(error).__name__}: {error}") from error
    require_positive(copies=answers["copies"])
    if stored is not None:
        changed_settings(stored, config)
    return TrainRequest(config, *(answers[name] for name in ("out", "resume", "dry_run", "code", "trust", "copies")))


# The first stage: what was chosen on each axis -----------------------------------------------------------------------


def _defaults(argv: Sequence[str], target: str | None, stored: TrainConfig | None) -> TrainConfig:
    """Return the configuration of what the arguments choose, before its settings are read from them."""
    axes = ["optimizer", "optimizer.base", "average"] + (["data", "network"] if target is None else [])
    chosen: dict[str, Any] = {
        axis.split(".")[-1]: Choice(words[-1]) for axis in axes if (words := _chosen(argv, f"--{axis}"))
    }
    if "base" in chosen and "=" in chosen["base"].name:
        chosen["base"] = parse_bases(chosen["base"].name)
    values: dict[str, Any] = {}
    values["regularizers"] = [Choice(name) for name in _chosen(argv, "--regularizer")] or None
    if target is None and (loss := _chosen(argv, "--loss")):
        values["loss"] = loss[-1]
    return configure(**chosen, target=target, stored=stored, **values)


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


# The second stage: a dataclass made to measure, for tyro -------------------------------------------------------------


def _field(name: str, kind: Any, default: Any, help: str, flag: str | None = None) -> tuple[str, Any, Any]:
    default = dataclasses.field(default_factory=default) if isinstance(default, type) else default
    return name, Annotated[kind, tyro.conf.arg(help=help, name=flag)], default


def _names(names: Mapping[str, Any]) -> Any:
    return Literal[tuple(names)]


def _settings(cls: Any, choice: Choice) -> type | None:
    """Return a dataclass of a registry entry's settings with the choice's as defaults, or None where it has none."""
    hints = typing.get_type_hints(cls)
    fields = []
    for f in dataclasses.fields(cls):
        if f.name == "game":
            continue
        default = choice.settings[f.name]
        help = f.metadata.get("help", "")
        if f.name == "lr":
            text = f"{help}, as generator=1e-4,discriminator=4e-4; or a schedule, as {EXAMPLE}"
            fields.append(_field("lr", str, rate_text(default), text))
        elif takes_schedule(hints[f.name]):
            several = isinstance(default, list)
            texts = tuple(map(number_text, default)) if several else number_text(default)
            kind = tuple[(str,) * len(texts)] if several else str
            fields.append(_field(f.name, kind, texts, f"{help}; or a schedule"))
        elif f.name == "base" and isinstance(default, Mapping):
            fields.append(_field("base_name", str, bases_text(default), help, flag="base"))
        elif f.name == "base":
            text = f"{help}, as {BASE_EXAMPLE}"
            fields.append(_field("base_name", _names(BASES), default.name, text, flag="base"))
            fields += _nested("base", _settings(BASES[default.name], default))
        else:
            default = tuple(default) if isinstance(default, list) else default
            fields.append(_field(f.name, hints[f.name], default, help))
    return dataclasses.make_dataclass("settings", fields) if fields else None


def _nested(name: str, kind: type | None) -> list[tuple[str, Any, Any]]:
    return [] if kind is None else [_field(name, kind, kind, "")]


_GAN = ("data", "network", "loss", "activation", "latent_size", "batch_size")


def _form(defaults: TrainConfig) -> type:
    """Return the dataclass whose fields are the flags: those of `TrainConfig`, and the settings of what is chosen."""
    kinds = {"loss": _names(LOSSES), "spectrum_which": Literal[WHICH]}
    names = {
        "optimizer": _names(OPTIMIZERS), "data": str, "network": _names(NETWORKS),
        "average": Literal[("none", *AVERAGES)],
    }  # fmt: skip
    hints, fields = typing.get_type_hints(TrainConfig), []
    for f in dataclasses.fields(TrainConfig):
        value, help = getattr(defaults, f.name), f.metadata["help"]
        if f.name == "target" or f.name in (_GAN if defaults.target else ("own_loss",)):
            continue
        if f.name == "own_loss":
            fields.append(_field("own_loss", Literal[("", *LOSSES)], value, help, flag="loss"))
        elif f.name in names:
            fields.append(_field(f"{f.name}_name", names[f.name], value.name, help, flag=f.name))
        elif f.name == "regularizers":
            chosen, help = tuple(choice.name for choice in value), f"{help}: {', '.join(REGULARIZERS)}"
            fields.append(_field("regularizer_names", tuple[str, ...], chosen, help, flag="regularizer"))
        else:
            fields.append(_field(f.name, kinds.get(f.name, hints[f.name]), value, help))
    fields += [
        _field("out", Path | None, None, "run folder; by default a new one in runs/"),
        _field("resume", bool, False, "go on with the run in --out"),
        _field("dry_run", bool, False, "print the configuration and stop"),
        _field("code", CodeChoice | None, None, f"with --resume: {CODE_HELP}"),
        _field("trust", bool, False, f"with --resume: {TRUST_HELP}"),
        _field("copies", int, 1, "runs, of --seed and the seeds after it, stepped together in one program"),
    ]
    for axis, entry in _entries(defaults).items():
        fields += _nested(axis, _settings(entry, getattr(defaults, axis)))
    fields += _nested("regularizer", _regularizer_settings(defaults.regularizers))
    return dataclasses.make_dataclass("train", fields)


def _entries(config: TrainConfig) -> dict[str, Any]:
    """Return the registry's entry that is chosen on each axis but the regularizers', by the axis's name."""
    entries: dict[str, Any] = {"optimizer": OPTIMIZERS[config.optimizer.name]}
    if config.target is None:
        entries |= {"data": DATA[parse_spec(config.data.name)[0]], "network": NETWORKS[config.network.name]}
    if config.average.name != "none":
        entries["average"] = AVERAGES[config.average.name]
    return entries


def _regularizer_settings(choices: Sequence[Choice]) -> type | None:
    """Return the settings of one regularizer, --regularizer.gamma; of several by name, --regularizer.r1.gamma."""
    if len(choices) == 1:
        return _settings(REGULARIZERS[choices[0].name], choices[0])
    fields = [f for c in choices for f in _nested(c.name, _settings(REGULARIZERS[c.name], c))]
    return dataclasses.make_dataclass("regularizer", fields) if fields else None


# From the answers to a configuration ---------------------------------------------------------------------------------


def _config(defaults: TrainConfig, answers: dict[str, Any]) -> TrainConfig:
    """Return the configuration with the answers in place of the defaults."""
    values = {f.name: answers[f.name] for f in dataclasses.fields(TrainConfig) if f.name in answers}
    for axis, entry in _entries(defaults).items():
        default = getattr(defaults, axis)
        values[axis] = Choice(default.name, _read(entry, answers.get(axis, {}), default.settings))
    given = _plain(answers.get("regularizer", {}))
    alone = len(defaults.regularizers) == 1
    values["regularizers"] = tuple(
        Choice(r.name, _read(REGULARIZERS[r.name], given if alone else given.get(r.name, {}), r.settings))
        for r in defaults.regularizers
    )
    return dataclasses.replace(defaults, **values)


def _read(cls: Any, answers: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the answers of `_settings(cls, ...)` spell out, where these were the defaults."""
    settings, hints = _plain(answers), typing.get_type_hints(cls)
    if "base_name" in settings:
        base = settings.pop("base_name")
        chosen = defaults["base"]
        given = {} if isinstance(chosen, Mapping) else _read(BASES[base], settings.get("base", {}), chosen.settings)
        settings["base"] = chosen if isinstance(chosen, Mapping) else Choice(base, given)  # bases were read before
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
