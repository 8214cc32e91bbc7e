"""Entries of the ten families of public reports; their games are in games/threads.py."""

from zoo import measures
from zoo.entry import Cure, Entry


def _entry(name: str, flags: str, measure: measures.Measure, causes: str, cure: Cure, **changes: str) -> Entry:
    return Entry(name, f"threads.py:{name}", flags, measure, tuple(causes.split()), cure, changes)


ADAM = "--optimizer alternating --optimizer.base adam --optimizer.base.betas 0 0.99 --optimizer.lr {} --steps {}"
HIFI = "--optimizer alternating --optimizer.base adam --optimizer.base.betas 0.8 0.99 --optimizer.lr {} --steps 1000"
SOUND = "--optimizer alternating --optimizer.base momentum --optimizer.base.beta 0.9 --optimizer.lr {} --steps 1000"
N_D = "--optimizer alternating --optimizer.n-d {} --optimizer.base sgd --optimizer.lr 0.05 --steps 700"
ENTRIES = [
    _entry("vocoder", HIFI.format("0.3"), measures.sound(0.5), "rate_too_large", Cure(HIFI.format("2e-3"))),
    _entry("audio_autoencoder", SOUND.format("0.1"), measures.reconstruction(0.6), "rate_too_large",
           Cure(SOUND.format("0.01"))),
    _entry("overpowered", ADAM.format("generator=1e-4,discriminator=1e-2", 1000), measures.distance(0.1),
           "discriminator_too_strong rate_imbalance",
           Cure(ADAM.format("2e-3", 1000) + " --regularizer r1 --regularizer.gamma 1")),
    _entry("r3gan", ADAM.format("2e-3", 1500), measures.distance(0.05), "penalty_scale", Cure(function="r3gan_lighter"),
           penalty_scale="r3gan_lighter"),
    _entry("relativistic_flat", ADAM.format("2e-3", 1000), measures.distance(0.1), "unnormalised_data dead_units",
           Cure(function="relativistic_normalised"), unnormalised_data="relativistic_normalised",
           dead_units="relativistic_normalised"),
    _entry("mismatched_inference", ADAM.format("2e-3", 1000), measures.distance(0.1), "",
           Cure(function="matched_inference")),
    _entry("autoencoder", ADAM.format("5e-3", 1000), measures.reconstruction(0.3),
           "penalty_scale discriminator_too_strong", Cure(function="autoencoder_lighter"),
           penalty_scale="autoencoder_lighter", discriminator_too_strong="autoencoder_lighter"),
    _entry("bfloat16", ADAM.format("2e-3", 700) + " --optimizer.n-d 3", measures.distance(0.2), "low_precision",
           Cure(function="float32"),
           low_precision="float32"),
    _entry("table", ADAM.format("1e-3", 1500), measures.distance(0.1), "unnormalised_data",
           Cure(function="table_normalised"), unnormalised_data="table_normalised"),
    _entry("imitation", N_D.format(10), measures.distance(0.2), "updates_too_often discriminator_too_strong",
           Cure(N_D.format(1))),
]  # fmt: skip
