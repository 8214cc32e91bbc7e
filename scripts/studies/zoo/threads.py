"""Entries of the ten families of public reports; their games are in games/threads.py."""

from functools import partial

from zoo import measures
from zoo.entry import MOMENTUM, PENALTY, SGD, Cure, adam, entry

_entry = partial(entry, "threads")
ENTRIES = [
    _entry("vocoder", adam("0.3", 1000, beta=0.8), measures.sound(0.5), "rate_too_large",
           Cure(adam("2e-3", 1000, beta=0.8))),
    _entry("audio_autoencoder", MOMENTUM.format("alternating", 0.1, 1000), measures.reconstruction(0.6),
           "rate_too_large", Cure(MOMENTUM.format("alternating", 0.01, 1000))),
    _entry("overpowered", adam("generator=1e-4,discriminator=1e-2", 1000), measures.distance(0.1),
           "discriminator_too_strong rate_imbalance", Cure(adam("2e-3", 1000) + PENALTY)),
    _entry("r3gan", adam("2e-3"), measures.distance(0.05), "penalty_scale", Cure(function="r3gan_lighter"),
           penalty_scale="r3gan_lighter"),
    _entry("relativistic_flat", adam("2e-3", 1000), measures.distance(0.1), "unnormalised_data dead_units",
           Cure(function="relativistic_normalised"), unnormalised_data="relativistic_normalised",
           dead_units="relativistic_normalised"),
    _entry("mismatched_inference", adam("2e-3", 1000), measures.distance(0.1), "", Cure(function="matched_inference")),
    _entry("autoencoder", adam("5e-3", 1000), measures.reconstruction(0.3), "penalty_scale discriminator_too_strong",
           Cure(function="autoencoder_lighter"), penalty_scale="autoencoder_lighter",
           discriminator_too_strong="autoencoder_lighter"),
    _entry("bfloat16", adam("2e-3", 700) + " --optimizer.n-d 3", measures.distance(0.2), "low_precision",
           Cure(function="float32"), low_precision="float32"),
    _entry("table", adam("1e-3"), measures.distance(0.1), "unnormalised_data", Cure(function="table_normalised"),
           unnormalised_data="table_normalised"),
    _entry("imitation", SGD.format("alternating --optimizer.n-d 20", 0.05, 700), measures.distance(0.2),
           "updates_too_often discriminator_too_strong",
           Cure(SGD.format("alternating --optimizer.n-d 1", 0.05, 700))),
]  # fmt: skip
