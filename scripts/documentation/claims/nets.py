"""Claims about deep nets, continuous flows and complex networks, each with the numbers of its study."""

from pathlib import Path

from harness import study
from nets import complex_classifier, continuous_depth, continuous_flow, depth, spirals

from claims import FAILS, HOLDS, Row, compared, read, within


def nets(out: Path) -> list[Row]:
    """Return the rows of the studies whose numbers are in a folder."""
    studies = {
        spirals: on_spirals, depth: through_depth, continuous_depth: as_time, continuous_flow: flows,
        complex_classifier: complex_nets,
    }  # fmt: skip
    there = [rows for module, rows in studies.items() if (out / f"{module.STUDY.name}.json").exists()]
    return [row for rows in there for row in rows(out)]


def on_spirals(out: Path) -> list[Row]:
    """Integrators on spirals that tell them apart."""
    results = read(spirals.STUDY, spirals.PAGE, out)
    seeds = len(results.study.seeds)
    text, verdict = within(results, "LM-ResNet, half the blocks", "ResNet", "test", spirals.MARGIN)
    claim = f"An LM-ResNet of half the blocks is as accurate as a ResNet, within {spirals.MARGIN} (spirals with noise)"
    return [Row(claim, "arXiv:1710.10121", text, seeds, verdict, "spirals")]


def through_depth(out: Path) -> list[Row]:
    """Gradients through depth."""
    rows, results = [], read(depth.STUDY, depth.PAGE, out)
    for init in ("Glorot", "gain"):  # orthogonal weights are as Glorot's
        for kept, lost in (("relu", "tanh"), ("esp", "tanh"), ("relu", "sigmoid")):
            text, verdict = compared(results, f"plain, {init}, {kept}", f"plain, {init}, {lost}", "start 32", 1)
            claim = f"Gradients vanish more with {lost} than with {kept}"
            claim += f" (plain nets, depth 32, {depth.INITS[init]} weights)"
            found = f"log10 of {kept}'s norm over {lost}'s {text}"
            rows.append(Row(claim, "a common saying", found, len(results.study.seeds), verdict, "depth"))
    return rows


def as_time(out: Path) -> list[Row]:
    """Residual nets as equations, and memory."""
    rows, results = [], read(continuous_depth.STUDY, continuous_depth.PAGE, out)
    seeds, (few, *_, many) = len(results.study.seeds), continuous_depth.DEPTHS
    growth = results.mean(f"{many} steps of rk4", "adjoint") / results.mean(f"{few} steps of rk4", "adjoint")
    claim = f"The adjoint's memory does not grow with the number of steps (from {few} to {many}, within 5 %)"
    verdict = HOLDS if growth < 1.05 else FAILS
    rows.append(Row(claim, "arXiv:1806.07366", f"{growth:.3f} times", seeds, verdict, "continuous_depth"))
    for name in ("skip 0.4", "skip 0.7", "skip 1.3"):
        text, verdict = compared(results, name, "ResNet", "test", -1)
        claim = f"A residual net is less accurate when its skips are multiplied by {name.split()[1]}"
        rows.append(Row(claim, "after E, 2017", text, seeds, verdict, "continuous_depth"))
    return rows


def flows(out: Path) -> list[Row]:
    """Continuous flows."""
    results = read(continuous_flow.STUDY, continuous_flow.PAGE, out)
    exact, estimated, couplings, _ = continuous_flow.SHOWN
    seeds, source = len(results.study.seeds), "arXiv:1810.01367"
    text, verdict = within(results, estimated, exact, "gap", 0.05)
    claim = "A flow trained with Hutchinson's estimate is as good as with the exact trace, within 0.05 nats (ring8)"
    rows = [Row(claim, source, f"{text} nats", seeds, verdict, "continuous_flow")]
    text, verdict = compared(results, exact, couplings, "gap", -1)
    claim = "A continuous flow is nearer to ring8 than affine couplings of as many parameters"
    return [*rows, Row(claim, source, f"divergence {text} nats", seeds, verdict, "continuous_flow")]


def complex_nets(out: Path) -> list[Row]:
    """Complex networks that are trained."""
    results = read(complex_classifier.STUDY, complex_classifier.PAGE, out)
    seeds = len(results.study.seeds)
    rows = [as_good_on_images(results, "digits")]
    form, page = complex_classifier.FORMS["mnist"]
    if (out / f"{form.name}.json").exists():
        rows.append(as_good_on_images(read(form, page, out), "mnist", "MNIST's digits"))
    for kind, where in (("audio", "samples"), ("spectra", "spectra")):
        text, verdict = compared(results, f"{kind}, complex", f"{kind}, real", "precision", 1)
        claim = f"A complex network hears notes in {where} of synthetic music better than a real one of as many "
        claim += "parameters"
        rows.append(Row(claim, "arXiv:1705.09792", text, seeds, verdict, "complex_classifier"))
    return rows + hears_chorales(out)


def as_good_on_images(results: study.Results, task: str, named: str = "digits") -> Row:
    """Complex networks and images."""
    text, verdict = within(results, f"{task}, complex, crelu", f"{task}, real", "accuracy", 0.01)
    claim = f"A complex network is as good on {named} as a real one of as many parameters, within 0.01 (the margin is "
    return Row(claim + "ours)", "arXiv:1705.09792", text, len(results.study.seeds), verdict, results.study.name)


def hears_chorales(out: Path) -> list[Row]:
    """Complex networks and the notes of chorales, where their form of the study has been run."""
    form, page = complex_classifier.FORMS["chorales"]
    if not (out / f"{form.name}.json").exists():
        return []
    results, rows = read(form, page, out), []
    for name, words in (("crelu", "CReLU"), ("modrelu", "modReLU"), ("zrelu", "zReLU")):
        text, verdict = compared(results, f"complex, {name}", "real", "precision", 1)
        claim = f"A complex network with {words} hears notes in spectra of chorales that a synthesizer plays better "
        claim += "than a real one of as many parameters"
        rows.append(Row(claim, "arXiv:1705.09792", text, len(results.study.seeds), verdict, form.name))
    return rows
