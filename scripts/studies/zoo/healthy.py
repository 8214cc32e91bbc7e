"""Entries of ten games that train well; their games are in games/healthy.py."""

from zoo import measures
from zoo.entry import Entry


def _entry(name: str, flags: str, measure: measures.Measure) -> Entry:
    return Entry(f"healthy {name}", f"healthy.py:{name}", flags, measure)


ADAM = "--optimizer {} --optimizer.base adam --optimizer.base.betas 0 0.99 --optimizer.lr {} --steps {}"
CONSENSUS = "--optimizer consensus --optimizer.gamma 10 --optimizer.base rmsprop --optimizer.lr 1e-3 --steps 3000"
MOMENTUM = (
    "--optimizer simultaneous --optimizer.base momentum --optimizer.base.beta 0.9 --optimizer.lr 0.1 --steps 1000"
)
SGD = "--optimizer {} --optimizer.base sgd --optimizer.lr {} --steps {}"
ENTRIES = [
    _entry("quadratic", SGD.format("simultaneous", 0.05, 1000), measures.from_origin(0.05)),
    _entry("dirac_r1", SGD.format("alternating", 0.1, 1000), measures.from_origin(0.05)),
    _entry("bilinear", SGD.format("optimistic", 0.1, 1500), measures.from_origin(0.05)),
    _entry("gaussian_r1", "--optimizer simultaneous --optimizer.base rmsprop --optimizer.lr 1e-3 --steps 1500",
           measures.distance(0.05)),
    _entry("ring8", CONSENSUS,
           measures.missing_modes(8, 0.2)),
    _entry("blobs_hinge", ADAM.format("alternating", "2e-3", 2000), measures.distance(0.05)),
    _entry("blobs_least_squares", ADAM.format("extragradient", "1e-3", 2000), measures.distance(0.05)),
    _entry("r3gan", ADAM.format("alternating", "2e-3", 2000), measures.distance(0.05)),
    _entry("columns", ADAM.format("simultaneous", "1e-3", 1500), measures.distance(0.05)),
    _entry("classifier", MOMENTUM,
           measures.errors(0.05)),
]  # fmt: skip
