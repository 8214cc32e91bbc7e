"""Runs of somebody else's: code of their own, and links that lead out of them."""

import hashlib
import json
import os
import pickle
import py_compile
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gantools.runs.record import read_record, write_record

Plant = Callable[[Path], None]


def _evil(run: Path) -> str:
    return f"import pathlib\npathlib.Path({str(run.parents[1] / 'marker')!r}).write_text('executed')\n"


def _rewritten(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((run / "config.json").read_text())
    change(content)
    write_record(run / "config.json", {k: v for k, v in content.items() if k not in ("format", "checksum")})
    for path in (run / "checkpoints").iterdir():  # checkpoints that agree, as a forger's would
        import torch

        saved = torch.load(path, weights_only=True)
        saved["record"] = json.dumps({"config": content["config"], "code": content.get("code")})
        torch.save(saved, path)


def _stored(name: str) -> Plant:
    """Put code into the stored copy of a file, with hashes that fit."""

    def plant(run: Path) -> None:
        from gantools.runs.code.stored import digest

        code = read_record(run / "config.json").code
        assert code is not None
        old = run / "code" / digest(code)[:16]
        (old / name).write_text((old / name).read_text() + _evil(run))
        code["files"][name] = hashlib.sha256((old / name).read_bytes()).hexdigest()
        code["folder"] = "/nowhere"
        old.rename(run / "code" / digest(code)[:16])
        _rewritten(run, lambda content: content.update(code=code))

    return plant


def _text_alone(run: Path) -> None:
    (path,) = run.glob("code/*/beside.py")
    path.write_text(path.read_text() + _evil(run))


def _origin(run: Path) -> None:
    """Name a folder of the forger's as the original: --code current is not asked for."""
    evil = run / "evil"
    evil.mkdir()
    (evil / "own.py").write_text(_evil(run))
    _rewritten(run, lambda content: content["code"].update(folder=str(evil)))


def _compiled(run: Path) -> None:
    """Put compiled files beside the text, as Python would find them."""
    for path in list(run.glob("code/*/*.py")):
        source = run / "source.py"
        source.write_text(_evil(run))
        cache = (
            path.parent / "__pycache__" / f"{path.stem}.cpython-{os.sys.version_info[0]}{os.sys.version_info[1]}.pyc"
        )
        cache.parent.mkdir(exist_ok=True)
        py_compile.compile(str(source), str(cache), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        source.unlink()


def _old_format(run: Path) -> None:
    """As a run from before copies were stored, with a target inside the run."""
    (run / "evil").mkdir()
    (run / "evil" / "payload.py").write_text(_evil(run) + "def build(): pass\n")
    content = json.loads((run / "config.json").read_text())
    content["config"]["target"] = f"{run / 'evil' / 'payload.py'}:build"
    kept = {name: content[name] for name in content if name not in ("format", "checksum", "code")}
    (run / "config.json").write_text(json.dumps(kept))
    import torch

    for path in (run / "checkpoints").iterdir():
        saved = torch.load(path, weights_only=True)
        torch.save({key: saved[key] for key in saved if key not in ("record", "logs")}, path)


def _escaping(run: Path) -> None:
    (run.parent / "payload.py").write_text(_evil(run))
    _rewritten(run, lambda c: c["code"].update(entry="../../payload.py", files={"../../payload.py": "0" * 64}))


class _Bomb:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def _pickled(pattern: str) -> Plant:
    def plant(run: Path) -> None:
        max(run.glob(pattern)).write_bytes(pickle.dumps(_Bomb(run.parents[1] / "marker")))

    return plant


def _torch_pickled(run: Path) -> None:
    import torch

    torch.save({"step": 6, "parameters": _Bomb(run.parents[1] / "marker")}, run / "checkpoints/step-00000006.pt")


def _linked(name: str, to: str = "folder") -> Plant:
    def plant(run: Path) -> None:
        path = run / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(run.parents[1] / "outside" / to)

    return plant


CODE: dict[str, Plant] = {
    "stored file": _stored("own.py"),
    "stored neighbour": _stored("beside.py"),
    "stored text, not its hash": _text_alone,
    "original": _origin,
    "compiled files": _compiled,
    "target of an old run": _old_format,
    "file outside of the run": _escaping,
    "pickled checkpoint": _pickled("checkpoints/*.pt"),
    "checkpoint with an object": _torch_pickled,
    "pickled spectrum": _pickled("spectra/*.npz"),
}
LINKS: dict[str, Plant] = {
    **{name: _linked(name) for name in ("checkpoints", "samples", "spectra", "analysis", "code", "set-aside")},
    **{
        name: _linked(name, "victim")
        for name in (
            "config.json", "metrics.jsonl", "features.pt", ".lock", ".lock.json", f".part-{os.getpid()}",
            f"checkpoints/.part-{os.getpid()}", "checkpoints/step-00000008.pt", "samples/step-00000006.png",
            "samples/step-00000008.png", "spectra/game-jacobian-step-00000008.npz", "samples-6.npy", "samples-6.png",
            "analysis/analysis-jacobian-LM-step-00000006.npz", "events.out.tfevents.1.host.1.0",
        )
    },
}  # fmt: skip
