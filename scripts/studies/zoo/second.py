"""Entries of a second set, written afterwards too by eyes that had seen no rule; games in games/second*.py."""

import dataclasses

from zoo import measures
from zoo.entry import SGD, Cure, Entry, adam, entry


def _entry(name: str, flags: str, measure: measures.Measure, causes: str, cure: Cure, **changes: str) -> Entry:
    return dataclasses.replace(entry("second", name, flags, measure, causes, cure, **changes), after=True, second=True)


def _well(name: str, flags: str, measure: measures.Measure) -> Entry:
    return Entry(f"healthy {name}", f"second_well.py:{name}", flags, measure, after=True, second=True)


ENTRIES = [
    _entry("wages", SGD.format("simultaneous", 0.2, 1000), measures.effects((1.0, -0.5), 0.2), "rotation",
           Cure(SGD.format("extragradient", 0.2, 1000))),
    _entry("customers", adam("2e-3", 1000), measures.distance(0.1, spread=True), "unshuffled_batches poisonous_batch",
           Cure(function="customers_mixed"), unshuffled_batches="customers_mixed", poisonous_batch="customers_mixed"),
    _entry("series", adam("2e-3", 1000), measures.distance(0.15), "collapse frozen_layer dead_units",
           Cure(function="series_over_time"), collapse="series_over_time", frozen_layer="series_over_time",
           dead_units="series_over_time"),
    _entry("teacher", adam("2e-3", 1000), measures.distance(0.1), "low_precision", Cure(function="teacher_float32"),
           low_precision="teacher_float32"),
    _entry("claims", SGD.format("alternating", 0.05, 1000), measures.distance(0.1), "missing_gradient penalty_scale",
           Cure(function="claims_with_graph"), penalty_scale="claims_with_graph",
           missing_gradient="claims_with_graph"),
    _entry("icons", adam("2e-3", 700), measures.pictures(0.1), "dead_units collapse",
           Cure(function="icons_about_zero"), dead_units="icons_about_zero", collapse="icons_about_zero"),
]  # fmt: skip

HEALTHY = [
    _well("instruments", adam("2e-3", 1000), measures.distance(0.05)),
    _well("keen", adam("generator=5e-4,discriminator=1e-2", 1500), measures.distance(0.05)),
    _well("few", adam("2e-3", 1000, "lookahead"), measures.distance(0.1)),
    _well("words", adam("2e-3", 1500), measures.pictures(0.1)),
]
