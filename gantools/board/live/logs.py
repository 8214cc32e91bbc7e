"""Looks, scalars and pictures in TensorBoard's logs: what there is, its numbers as bytes, pictures by step."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from tensorboard.context import RequestContext
from tensorboard.data import provider as data_provider

from gantools.board.live import PLUGIN
from gantools.board.live.looks import VERSION

EVERY_STEP = 1_000_000
TEXTS = ("game/verdict", "note")  # what a watched loop and a training log in words
SUMMARY = "/text_summary"  # which SummaryWriter puts behind a tag
FORMATS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


class Logs:
    """The logs that a TensorBoard data provider reads.

    Args:
        provider: a `tensorboard.data.provider.DataProvider`.
        experiment: its experiment; empty for a folder of this machine.
        context: of the request that is answered.
    """

    def __init__(self, provider: Any, experiment: str = "", context: Any = None):
        self._provider = provider
        self._where = {"ctx": context or RequestContext(), "experiment_id": experiment}

    def catalog(self) -> dict[str, Any]:
        """Return what there is: "series" of looks, "scalars", "pictures", "texts", each with its run and tag; sorted.

        A series has its tag as the user wrote it, a key to ask for it, its kind, the step and time of its last look,
        from which a viewer knows that there is more, and of spectra the first one's operator and whether it was whole.
        Scalars and texts are those of runs that have a series, and of the runs that such a run lies in: a training's,
        beside an analysis of its checkpoints.
        """
        series = []
        for run, tags in self._provider.list_tensors(**self._where, plugin_name=PLUGIN).items():
            for key, found in tags.items():
                about = _about(found.plugin_content)
                if about is not None:
                    series.append(
                        {"run": run, "key": key, "last": found.max_step, "time": found.max_wall_time}
                        | {name: about.get(name) for name in ("tag", "kind", "operator", "complete")}
                    )
        drawn = {(entry["run"], entry["tag"]) for entry in series}
        images = self._provider.list_blob_sequences(**self._where, plugin_name="images")
        pictures = [{"run": run, "tag": tag} for run, tags in images.items() for tag in tags if (run, tag) not in drawn]
        runs = {entry["run"] for entry in series}
        beside = sorted(runs | {str(PurePosixPath(run).parent) for run in runs})
        return {
            "series": sorted(series, key=lambda entry: (entry["tag"], entry["run"])),
            "scalars": self._scalar_tags(beside),
            "pictures": sorted(pictures, key=lambda entry: (entry["tag"], entry["run"])),
            "texts": self._text_tags(beside),
        }

    def _text_tags(self, wanted: list[str]) -> list[dict[str, Any]]:
        found = self._provider.list_tensors(**self._where, plugin_name="text") if wanted else {}
        return [
            {"run": run, "tag": tag, "last": about.max_step, "time": about.max_wall_time}
            for run in wanted
            for tag in TEXTS
            if (about := found.get(run, {}).get(tag + SUMMARY)) is not None
        ]

    def _scalar_tags(self, wanted: list[str]) -> list[dict[str, Any]]:
        if not wanted:
            return []
        found = self._provider.list_scalars(
            **self._where, plugin_name="scalars", run_tag_filter=data_provider.RunTagFilter(runs=wanted)
        )
        return [
            {"run": run, "tag": tag, "last": about.max_step, "time": about.max_wall_time}
            for run, tags in sorted(found.items())
            for tag, about in sorted(tags.items())
        ]

    def scalars(self, run: str, tag: str) -> np.ndarray | None:
        """Return (step, value) of a scalar as rows of float64 in the order of steps, or None if there is none."""
        wanted = data_provider.RunTagFilter([run], [tag])
        found = self._provider.read_scalars(
            **self._where, plugin_name="scalars", downsample=EVERY_STEP, run_tag_filter=wanted
        )
        data = found.get(run, {}).get(tag)
        if data is None:
            return None
        # Of a step that was logged again, after a run was resumed, the newer number.
        newest = {datum.step: datum.value for datum in sorted(data, key=lambda datum: datum.wall_time)}
        return np.array(sorted(newest.items()), "<f8").reshape(-1, 2)

    def texts(self, run: str, tag: str) -> list[tuple[int, str]] | None:
        """Return step and text of one of `TEXTS` in the order of steps, or None if there is none."""
        wanted = data_provider.RunTagFilter([run], [tag + SUMMARY])
        found = self._provider.read_tensors(
            **self._where, plugin_name="text", downsample=EVERY_STEP, run_tag_filter=wanted
        )
        data = found.get(run, {}).get(tag + SUMMARY)
        if data is None:
            return None
        newest = {datum.step: datum.numpy for datum in sorted(data, key=lambda datum: datum.wall_time)}
        return [(step, _text(newest[step])) for step in sorted(newest)]

    def looks(self, run: str, key: str) -> list[tuple[int, float, bytes]] | None:
        """Return step, wall time and encoded look of one series, or None if there is none of that name."""
        wanted = data_provider.RunTagFilter([run], [key])
        found = self._provider.read_tensors(
            **self._where, plugin_name=PLUGIN, downsample=EVERY_STEP, run_tag_filter=wanted
        )
        data = found.get(run, {}).get(key)
        if data is None:
            return None
        return [(d.step, d.wall_time, d.numpy.tobytes()) for d in data if d.numpy.dtype == "uint8"]

    def picture_steps(self, run: str, tag: str) -> list[int]:
        """Return the steps that have a picture of a tag."""
        return [datum.step for datum in self._pictures(run, tag)]

    def picture(self, run: str, tag: str, step: int) -> tuple[bytes, str] | None:
        """Return the first picture of a step and its media type, or None if there is none, or none of a known type."""
        for datum in self._pictures(run, tag):
            if datum.step == step and len(datum.values) > 2:  # behind the width and the height
                data = self._provider.read_blob(ctx=self._where["ctx"], blob_key=datum.values[2].blob_key)
                media = [media for start, media in FORMATS.items() if data.startswith(start)]
                return (data, media[0]) if media else None
        return None

    def _pictures(self, run: str, tag: str) -> list[Any]:
        wanted = data_provider.RunTagFilter([run], [tag])
        found = self._provider.read_blob_sequences(
            **self._where, plugin_name="images", downsample=EVERY_STEP, run_tag_filter=wanted
        )
        return list(found.get(run, {}).get(tag, []))


def _text(array: np.ndarray) -> str:
    """Return the text of a summary, an array of one string of bytes."""
    return "\n".join(bytes(part).decode(errors="replace") for part in array.ravel())


def _about(content: bytes) -> dict[str, Any] | None:
    """Return the kind and tag of a series from its metadata, or None for what another version wrote."""
    try:
        about = json.loads(content)
        known = about["version"] == VERSION and isinstance(about["tag"], str) and isinstance(about["kind"], str)
    except (ValueError, KeyError, TypeError):
        return None
    return about if known else None


def open_logs(folder: str | Path, tell: Callable[[str, int, int], None] = lambda *_: None) -> Logs:
    """Read all event files in a folder, those of TensorBoard's runs below it too, every step of them.

    Args:
        folder: of runs, or a run.
        tell: called with what is being read, how much is, and how much there is.
    """
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.directory_watcher import DirectoryDeletedError
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

    every = {PLUGIN: 0, "images": 0, "scalars": 0, "text": 0}  # 0 for no limit
    multiplexer = EventMultiplexer(tensor_size_guidance=every, purge_orphaned_data=True)
    multiplexer.AddRunsFromDirectory(str(folder))
    runs = list(multiplexer.Runs())
    sizes = [sum(path.stat().st_size for path in (Path(folder) / run).glob("*.tfevents.*")) for run in runs]
    for number, run in enumerate(runs):
        tell("MB of logs", round(sum(sizes[:number]) / 1e6), round(sum(sizes) / 1e6))
        with suppress(OSError, DirectoryDeletedError):  # of a run that cannot be read the others are shown
            multiplexer.GetAccumulator(run).Reload()
    return Logs(MultiplexerDataProvider(multiplexer, str(folder)))
