"""Settings with which each data set trains well in minutes: the defaults of the command line."""

from typing import Any

from gantools.runs.config import Choice

# "optimizer" serves every method, an entry under a method's name that method alone. Those of ring8 are the settings of
# The Numerics of GANs.
_PLANE = {
    "network": Choice("mlp"), "steps": 20_000, "batch_size": 512, "latent_size": 16, "every": 2000,
    "optimizer": {"lr": 1e-4, "base": "rmsprop"}, "consensus": {"gamma": 10.0},
}  # fmt: skip
_IMAGES = {
    "network": Choice("dcgan"), "steps": 20_000, "batch_size": 64, "latent_size": 64, "every": 1000,
    "optimizer": {"lr": 2e-4, "base": "rmsprop"}, "consensus": {"gamma": 1.0},
}  # fmt: skip
RECOMMENDED: dict[str, dict[str, Any]] = {
    "ring8": _PLANE,
    "grid25": {**_PLANE, "batch_size": 500},
    "npy": {**_PLANE, "batch_size": 64},
    "folder": _IMAGES,
    "digits": {
        **_IMAGES, "network": Choice("dcgan", {"width": 16}), "steps": 3000, "latent_size": 32, "every": 500,
        "optimizer": {"lr": 1e-3, "base": "rmsprop"},
    },
}  # fmt: skip
OWN_GAME = {"steps": 1000, "every": 100, "batch_size": 64, "latent_size": 16, "optimizer": {"lr": 1e-4, "base": "sgd"}}
