"""Players that circle each other: complex eigenvalues of the Jacobian that steps of gradients do not damp."""

from collections.abc import Iterator

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.cures import with_method
from gantools.analysis.diagnosis.result import Finding
from gantools.analysis.diagnosis.spectrum import rotation_of

TURNS = 3.0  # |Im| / |Re| of an eigenvalue that is rotation rather than attraction


def rotation(case: Case) -> Iterator[Finding]:
    """Leading eigenvalues that are mostly imaginary, a training that gets nowhere, and one that does when damped."""
    if not case.given or len(case.game.slices) < 2 or not case.stalled or case.optimizer.second_order:
        return
    ratio, value = rotation_of(case.game, case.batches[0], case.tell)
    if ratio < TURNS:
        return
    cures = [with_method(case.optimizer, "consensus", gamma=gamma) for gamma in (1.0, 10.0, 0.1)]
    found = case.best([*cures, with_method(case.optimizer, "extragradient")])
    if found is None:
        return
    much = f"{ratio:.2g} times as much rotation as attraction" if ratio < 1e6 else "rotation without attraction"
    words = f"the Jacobian has the eigenvalue {value.real:.3g} {value.imag:+.3g}i, {much}, and nothing is gained in "
    words += f"{case.walk.steps} steps."
    advice = case.advised(*found, "Damp the rotation.", "about twice to three times the time of a step.")
    yield Finding("rotation", words, False, (advice,), harm=1.1 - found[1])
