"""TensorBoard summaries of looks: numbers for the live tab, written beside the pictures."""

import json
from importlib import import_module
from typing import Any

import numpy as np
from tensorboard.compat.proto import summary_pb2
from tensorboard.util.tensor_util import make_tensor_proto

from gantools.board.live import PLUGIN
from gantools.board.live.looks import VERSION, Look, encode

_PROTO: Any = summary_pb2  # generated: its names are made at run time
SUFFIX = "numbers"  # a tag has one plugin, and TAG itself is the picture's


def add_look(writer: Any, tag: str, look: Look, step: int) -> None:
    """Write a look under TAG/numbers for the live tab, as bytes in a tensor.

    Args:
        writer: a `torch.utils.tensorboard.SummaryWriter`, or one that imitates it. One that cannot write a summary of
            another plugin, such as a test's or a service's, is left with the pictures and scalars.
        tag: of the picture, such as "game/jacobian".
        look: facts and arrays.
        step: the training step.
    """
    if not hasattr(writer, "_get_file_writer"):
        return
    # TensorBoard keeps this of the first step alone: what may change from step to step is in the look.
    about = {name: look[0].get(name) for name in ("kind", "operator", "complete")}
    content = json.dumps({"version": VERSION, "tag": tag} | about).encode()
    metadata = _PROTO.SummaryMetadata(
        display_name=tag,
        plugin_data=_PROTO.SummaryMetadata.PluginData(plugin_name=PLUGIN, content=content),
        data_class=_PROTO.DATA_CLASS_TENSOR,
    )
    tensor = make_tensor_proto(np.frombuffer(encode(look), np.uint8))
    value = _PROTO.Summary.Value(tag=f"{tag}/{SUFFIX}", tensor=tensor, metadata=metadata)
    # SummaryWriter.add_tensor writes no data class, without which no plugin finds the tensor.
    writer._get_file_writer().add_summary(_as_theirs(writer, _PROTO.Summary(value=[value])), step)


def _as_theirs(writer: Any, summary: Any) -> Any:
    """Return a summary as the message class of the writer's package: tensorboardX has a copy of TensorBoard's."""
    package = type(writer).__module__.partition(".")[0]
    if package != "tensorboardX":
        return summary
    return import_module(f"{package}.proto.summary_pb2").Summary.FromString(summary.SerializeToString())
