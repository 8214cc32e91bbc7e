"""Entries written after the diagnosis was finished, by eyes that had not seen its rules; games in games/fresh.py."""

import dataclasses

from zoo import measures
from zoo.entry import RMSPROP, SGD, Cure, Entry, adam, entry


def _entry(name: str, flags: str, measure: measures.Measure, causes: str, cure: Cure, **changes: str) -> Entry:
    return dataclasses.replace(entry("fresh", name, flags, measure, causes, cure, **changes), after=True)


ENTRIES = [
    _entry("sensors", SGD.format("alternating", 0.05, 1000), measures.distance(0.2), "poisonous_batch",
           Cure(function="sensors_filled"), poisonous_batch="sensors_filled"),
    _entry("quantised", adam("2e-3", 1000), measures.reconstruction(0.35), "frozen_layer",
           Cure(function="quantised_straight_through"), frozen_layer="quantised_straight_through"),
    _entry("domains", adam("2e-3", 1000), measures.errors(0.1), "wrong_sign",
           Cure(function="domains_reversed"), wrong_sign="domains_reversed"),
    _entry("pixels", adam("2e-3", 700), measures.pictures(0.1), "unnormalised_data", Cure(function="pixels_scaled"),
           unnormalised_data="pixels_scaled"),
    _entry("translated", adam("2e-3", 1500), measures.pairs(0.12), "collapse penalty_scale",
           Cure(function="translated_lighter"), collapse="translated_lighter", penalty_scale="translated_lighter"),
    _entry("hinged", adam("1e-3", 1000, beta=0.9), measures.distance(0.1), "momentum_too_high",
           Cure(adam("1e-3", 1000))),
    _entry("robust", adam("2e-3", 1000), measures.errors(0.1), "penalty_scale", Cure(function="robust_lighter"),
           penalty_scale="robust_lighter"),
    _entry("budget", adam("model=5e-3,multiplier=1e-5", 1000), measures.budget_missed(0.05, 0.02),
           "rate_imbalance rate_too_small", Cure(adam("model=5e-3,multiplier=2e-2", 1000))),
    _entry("scissors", SGD.format("simultaneous", 0.5, 2000), measures.gain(0.05), "rotation",
           Cure(SGD.format("extragradient", 0.5, 2000))),
    _entry("evaluated", adam("2e-3", 700), measures.pictures(0.1), "", Cure(function="evaluated_sooner")),
    _entry("clipped", SGD.format("alternating", "5e-5", 1000), measures.distance(0.1), "rate_too_small",
           Cure(RMSPROP.format("alternating --optimizer.n-d 5", "1e-3", 1000))),
]  # fmt: skip


_PENALTY = " --optimizer.n-d 5 --regularizer wgan_gp --regularizer.weight 1"


def _well(name: str, flags: str, measure: measures.Measure) -> Entry:
    return Entry(f"healthy {name}", f"fresh_well.py:{name}", flags, measure, after=True)


HEALTHY = [
    _well("drifting", adam("1e-3", 600) + _PENALTY, measures.distance(0.05)),
    _well("ahead", adam("2e-3", 1000), measures.distance(0.05)),
    _well("swift", adam("1e-2", 1000), measures.distance(0.05)),
    _well("spock", SGD.format("optimistic", 2.0, 2500), measures.gain(0.05)),
    _well("broad", adam("5e-3", 1500), measures.distance(0.05)),
    _well("coloured", adam("2e-3", 1000), measures.pairs(0.05)),
]
