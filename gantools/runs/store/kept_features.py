"""The feature network of a run with labelled images: trained once, then read from its folder."""

import io
from typing import Any

import torch
from torch import nn

from gantools.data.sources import FiniteSource, Source
from gantools.metrics.features import DigitFeatures, train_features
from gantools.runs.store.atomic import say, write_atomically
from gantools.runs.store.checkpoint import read_tensors
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.set_aside import SetAside


def kept_features(folder: RunFolder, source: Source | None, seed: int) -> nn.Module | None:
    """Return the feature network for a data set and a seed, from the folder where it is; None without labels.

    A file that is damaged, or of another run, is set aside and the network trained again: it depends on the seed alone.
    """
    if not isinstance(source, FiniteSource) or source.labels is None:
        return None
    model = DigitFeatures(source.shape, int(source.labels.max()) + 1)
    origin = {"seed": seed, "data": source.name}
    try:
        saved: Any = read_tensors(folder.features)
        # Files from before the origin was written are the network alone.
        if not isinstance(saved, dict) or saved.get("origin", origin) != origin:
            raise ValueError("it is of another run")
        model.load_state_dict(saved.get("network", saved))
        return model.eval().requires_grad_(False)
    except FileNotFoundError:
        pass
    except Exception as error:  # of a damaged file nearly any
        reason = " ".join(str(error).split())[:200]
        say(f"{folder.features} cannot be used ({reason}): it is set aside, and its network trained again.")
        SetAside(folder.path).move(folder.features)
    model = train_features(source, seed)
    buffer = io.BytesIO()
    torch.save({"origin": origin, "network": model.state_dict()}, buffer)
    write_atomically(folder.features, buffer.getvalue())
    return model
