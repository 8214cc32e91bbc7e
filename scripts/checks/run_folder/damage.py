"""Damage to the files of a run: every kind to every file, and what only one file can suffer."""

import contextlib
import errno
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import torch

from gantools.runs.record import write_record

Damage = Callable[[Path], contextlib.AbstractContextManager[None] | None]

# The files of a run, by a name for the table and a pattern; the last in order is damaged.
FILES = {
    "configuration": "config.json",
    "metrics": "metrics.jsonl",
    "events": "events.out.tfevents.*",
    "last checkpoint": "checkpoints/*.pt",
    "earlier checkpoint": "checkpoints/step-00000004.pt",
    "sample": "samples/*.png",
    "spectrum": "spectra/*.npz",
    "holder of the lock": ".lock.json",
    "lock": ".lock",
}
OWN_FILES = {"stored file": "code/*/own.py", "stored neighbour": "code/*/beside.py"}
DIGITS_FILES = {"features": "features.pt"}


def _found(run: Path, pattern: str) -> Path:
    return max(run.glob(pattern))


def _other(run: Path) -> Path:
    return run.parent.parent / "intact" / "other"


def _replaced(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path, to: str) -> None:
    path.unlink()
    path.symlink_to(to)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _zero_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(len(data[middle : middle + 64]))
    path.write_bytes(data)


@contextlib.contextmanager
def _refused(path: Path, number: int) -> Iterator[None]:
    """Let the system refuse to open a file, as it does without permission or where the disk fails."""
    original = os.open

    def open_or_refuse(name, *args, **kwargs):
        if not isinstance(name, int) and os.fspath(name) in (str(path), os.fsencode(path)):
            raise OSError(number, os.strerror(number), str(path))
        return original(name, *args, **kwargs)

    with mock.patch("os.open", open_or_refuse):
        yield


KINDS: dict[str, Callable[[Path], contextlib.AbstractContextManager[None] | None]] = {
    "is empty": lambda p: _replaced(p, b""),
    "ends half way": lambda p: _replaced(p, p.read_bytes()[: len(p.read_bytes()) // 2]),
    "lacks a byte": lambda p: _replaced(p, p.read_bytes()[:-1]),
    "has a byte more": lambda p: _replaced(p, p.read_bytes() + b"x"),
    "is doubled": lambda p: _replaced(p, p.read_bytes() * 2),
    "is zeros": lambda p: _replaced(p, bytes(len(p.read_bytes()))),
    "has a block of zeros": _zero_page,
    "is other bytes": lambda p: _replaced(p, random.Random(1).randbytes(300)),
    "is missing": lambda p: p.unlink(),
    "is a folder": _directory,
    "is a link": lambda p: _link(p, str(p.parents[2] / "outside" / "victim")),
    "is a link to nothing": lambda p: _link(p, "nowhere"),
    "is a pipe": _pipe,
    "may not be read": lambda p: _refused(p, errno.EACCES),
    "fails on the disk": lambda p: _refused(p, errno.EIO),
}


def _lines(change: Callable[[list[bytes]], list[bytes]]) -> Damage:
    def damage(run: Path) -> None:
        path = run / "metrics.jsonl"
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))

    return damage


def _config(change: Callable[[dict], object], sealed: bool = False) -> Damage:
    """Change a configuration, with a checksum that fits (`sealed`) or with the old one."""

    def damage(run: Path) -> None:
        content = json.loads((run / "config.json").read_text())
        change(content)
        if sealed:
            write_record(run / "config.json", {k: v for k, v in content.items() if k not in ("format", "checksum")})
        else:
            (run / "config.json").write_text(json.dumps(content))

    return damage


def _set(*keys: str, value: object) -> Callable[[dict], object]:
    def change(content: dict) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def _renamed(content: dict) -> None:
    content["config"]["optimizer"]["base"] = {"nama": "adam"}


def _saved(change: Callable[[dict], object], step: int = 6) -> Damage:
    """Change what a checkpoint holds, its checksums right."""

    def damage(run: Path) -> None:
        path = run / "checkpoints" / f"step-{step:08d}.pt"
        saved = torch.load(path, weights_only=True)
        change(saved)
        torch.save(saved, path)

    return damage


def _other_files(*patterns: str) -> Damage:
    def damage(run: Path) -> None:
        for pattern in patterns:
            for file in run.glob(pattern):
                file.unlink()
            for file in _other(run).glob(pattern):
                shutil.copy(file, run / file.relative_to(_other(run)))

    return damage


def _written(name: str) -> Damage:
    def damage(run: Path) -> None:
        if (run / name).is_dir():
            shutil.rmtree(run / name)
        (run / name).write_text("x")

    return damage


def _checkpoints(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").iterdir())


def _swap(run: Path) -> None:
    first, *_, last = (path.read_bytes() for path in _checkpoints(run))
    _checkpoints(run)[0].write_bytes(last)
    _checkpoints(run)[-1].write_bytes(first)


def _each_checkpoint(run: Path) -> None:
    for path in _checkpoints(run):
        path.write_bytes(path.read_bytes()[:500])


OF_ONE: dict[str, Damage] = {
    "metrics: a line is missing": _lines(lambda ls: [*ls[:3], *ls[4:]]),
    "metrics: the last lines are missing": _lines(lambda ls: ls[:-4]),
    "metrics: all but the last line are missing": _lines(lambda ls: ls[-1:]),
    "metrics: two lines are exchanged": _lines(lambda ls: [ls[1], ls[0], *ls[2:]]),
    "metrics: a line is there twice": _lines(lambda ls: [*ls[:3], ls[2], *ls[3:]]),
    "metrics: a digit is another": _lines(lambda ls: [ls[0].replace(b".", b".7", 1), *ls[1:]]),
    "metrics: a newline is lost": _lines(lambda ls: [ls[0][:-1], *ls[1:]]),
    "metrics: a step is null": _lines(lambda ls: [b'{"step": null}\n', *ls]),
    "metrics: a step is a text": _lines(lambda ls: [*ls, b'{"step": "3"}\n']),
    "metrics: no line has a check": _lines(lambda ls: [line.partition(b', "check"')[0] + b"}\n" for line in ls]),
    "metrics: of another run": _other_files("metrics.jsonl"),
    "configuration: a misspelt key": _config(_renamed),
    "configuration: a misspelt key, sealed": _config(_renamed, sealed=True),
    "configuration: another seed": _config(_set("config", "seed", value=1)),
    "configuration: another seed, sealed": _config(_set("config", "seed", value=1), sealed=True),
    "configuration: another rate, sealed": _config(_set("config", "optimizer", "lr", value=0.5), sealed=True),
    "configuration: another rhythm": _config(_set("config", "spectrum_every", value=3)),
    "configuration: a newer format": _config(_set("format", value=99)),
    "configuration: no checksum": _config(lambda c: c.pop("checksum")),
    "configuration: a list": _config(_set("config", value=[])),
    "configuration: a text for a number, sealed": _config(_set("config", "steps", value="6"), sealed=True),
    "configuration: of another run": _other_files("config.json"),
    "checkpoint: holds a number for parameters": _saved(lambda s: s.update(parameters=3)),
    "checkpoint: holds no random state": _saved(lambda s: s.update(random={})),
    "checkpoint: holds another record": _saved(lambda s: s.update(record="[")),
    "checkpoint: holds other counters": _saved(lambda s: s.update(optimizer={"base": 1, "memory": [], "counters": 0})),
    "checkpoint: holds no logs": _saved(lambda s: s.pop("logs")),
    "checkpoint: of another run": _other_files("checkpoints/step-00000006.pt"),
    "checkpoints: of another run": _other_files("checkpoints/*.pt"),
    "checkpoints: first and last exchanged": _swap,
    "checkpoints: all damaged": _each_checkpoint,
    "checkpoints: all gone": lambda run: shutil.rmtree(run / "checkpoints"),
    "checkpoints: a file": _written("checkpoints"),
    "checkpoints: a name without a number": _written("checkpoints/step-x.pt"),
    "samples: all gone": lambda run: shutil.rmtree(run / "samples"),
    "spectra: all gone": lambda run: shutil.rmtree(run / "spectra"),
    "events: of another run": _other_files("events.out.tfevents.*"),
    "analysis: a file": _written("analysis"),
    "set-aside: a file": _written("set-aside"),
    "a part of a killed process": _written("checkpoints/.part-1"),
}


def corruptions(digits: bool = True) -> list[tuple[str, str, Damage]]:
    """Return (base, what is damaged, damage) of every case."""
    cases: list[tuple[str, str, Damage]] = []
    wanted = {"gan": FILES, "own": OWN_FILES} | ({"digits": DIGITS_FILES} if digits else {})
    for base, files in wanted.items():
        for name, pattern in files.items():
            for kind, damage in KINDS.items():
                cases.append((base, f"{name} {kind}", lambda run, p=pattern, d=damage: d(_found(run, p))))
    return cases + [("gan", name, damage) for name, damage in OF_ONE.items()]


def flip(pattern: str, seed: int) -> Damage:
    """Return a damage that flips one random bit of a file."""

    def damage(run: Path) -> None:
        rng = random.Random(f"{pattern} {seed}")
        path = rng.choice(sorted(run.glob(pattern)))
        data = bytearray(path.read_bytes())
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)

    return damage
