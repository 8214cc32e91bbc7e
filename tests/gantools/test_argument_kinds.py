"""Wrong kinds of argument in every public function and class: one sentence, with the right call."""

import contextlib
import inspect

import numpy as np
import pytest
import torch
from torch import nn

import gantools as gt
from gantools import analysis
from gantools.argument_kinds import checked
from gantools.errors import GantoolsError

FIRST = {
    "operator": [
        *("antisymmetric_part", "conditions", "coupling", "cross_check", "departure_from_normality", "diagonal"),
        *("effective_dimension", "eigenvalues", "field_of_values", "frobenius_norm", "gram", "index"),
        *("kernel_polynomial", "preconditioned", "pseudospectrum", "restrict", "ritz_cloud", "spectral_density"),
        *("spectrum", "symmetric_part", "trace", "identity"),
    ],
    "game": [
        *("filter_normalized", "jacobian", "line", "path_angle", "plane", "point", "random_direction"),
        *("hessian", "stationary_point", "diagnose"),
    ],
    "module": ["fisher", "gauss_newton", "recurrent_jacobian", "hessian", "stationary_point"],
    "optimizer": ["update_operator"],
    "spectrum": ["stability"],
}
FUNCTIONS = [name for name in analysis.__all__ if inspect.isfunction(getattr(analysis, name))]


@pytest.fixture(scope="module")
def things():
    module = nn.Linear(2, 1)
    game = gt.minimization(module, lambda model, batch: (model(batch) ** 2).mean())
    batch = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    operator = analysis.jacobian(game, batch)
    return {
        "module": module,
        "game": game,
        "batch": batch,
        "operator": operator,
        "spectrum": analysis.spectrum(operator),
        "optimizer": gt.trainers.make("simultaneous", game, lr=0.1),
        "matrix": np.eye(3),
        "nothing": None,
        "words": "LM",
        "number": 0.5,
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_public_function_refuses_every_other_kind_in_one_sentence(name, things):
    function = getattr(analysis, name)
    right = {kind for kind, names in FIRST.items() if name in names}
    assert right, f"add {name} to the table"
    others = [p for p in list(inspect.signature(function).parameters.values())[1:] if p.kind is p.POSITIONAL_OR_KEYWORD]
    rest = [object() for p in others if p.default is p.empty]
    for kind, thing in things.items():
        if kind in right:
            continue
        with pytest.raises(GantoolsError) as caught:
            function(thing, *rest)
        words = str(caught.value)
        assert words.startswith(f"{name}(") and " must be " in words and words.endswith("."), words


PACKAGES = {
    package.__name__.rpartition(".")[2]: (package, names or package.__all__)
    for package, names in (
        (gt, ["gan", "load", "minimization", "replicated", "split", "watch", "Game"]),
        (gt.trainers, None),
        (gt.board, None),
        (gt.data, None),
        (gt.losses, list(gt.losses.LOSSES)),
        (gt.metrics, None),
        (gt.networks, None),
        (gt.nn, None),
        (gt.regularizers, None),
        (gt.schedules, ["Cosine", "Exponential", "Linear"]),
    )
}
# What is no entry: protocols and records, and layers whose arguments are torch's own, which are left to it.
INNER = {"Base", "Rule", "Pass", "Source", "ComplexDropout", "ComplexDropout2d", "serve"}


def entries():
    for title, (package, names) in PACKAGES.items():
        for name in names:
            entry = getattr(package, name)
            own = inspect.isfunction(entry) or (inspect.isclass(entry) and "__init__" in vars(entry))
            if own and name not in INNER:
                yield pytest.param(entry, id=f"{title}.{name}")


@pytest.mark.parametrize("entry", list(entries()))
def test_every_entry_refuses_what_it_cannot_take_in_one_sentence(entry, things):
    """In the place of each argument, of those that are needed or else of the first; the others are what they may be."""
    named = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [p for p in inspect.signature(entry).parameters.values() if p.kind in named]
    count = max(1, sum(p.default is p.empty for p in parameters)) if parameters else 0
    fits = {"game": things["game"], "module": things["module"], "model": things["module"]}
    for place in range(count):
        for kind in ("module", "game", "operator", "spectrum", "optimizer", "nothing"):
            arguments = [fits.get(p.name, things["batch"]) for p in parameters[:count]]
            arguments[place] = things[kind]
            with contextlib.suppress(GantoolsError):  # a sentence; some kinds are as good
                entry(*arguments)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda t: gt.board.add_spectrum(t["words"], t["spectrum"], t["number"], 2),
            "torch.utils.tensorboard.SummaryWriter(folder)",
        ),
        (lambda t: gt.board.spectrum_figure(t["operator"]), "s = spectrum(A)"),
        (lambda t: gt.board.spectrum_figure(t["batch"]), "spectrum must be a Spectrum, not a Tensor"),
        (lambda t: gt.board.spectrum_figure({"values": t["number"]}), "spectrum must be a Spectrum, not a dict"),
        (lambda t: gt.board.density_figure(t["spectrum"]), "spectral_density(A)"),
        (lambda t: gt.board.plane_figure(t["game"]), "plane must be a Plane, not a Game"),
        (lambda t: gt.trainers.make(t["game"], t["words"]), "in the order of make(name, game)"),
        (lambda t: gt.trainers.Consensus(t["module"]), "gt.minimization(model, loss)"),
        (lambda t: gt.trainers.Adam(t["number"]), "betas must be a tuple"),
        (lambda t: gt.load(t["game"]), "load(path): path must be text or a Path, not a Game"),
        (lambda t: gt.split(t["batch"], t["game"]), "split(batch, count): count must be an int, not a Game"),
        (lambda t: gt.metrics.frechet_distance(t["matrix"], t["matrix"]), "x must be a Tensor, not a ndarray"),
        (lambda t: gt.losses.hinge(t["module"], t["batch"]), "real_scores must be a Tensor, not a Linear"),
        (lambda t: gt.schedules.Cosine(t["words"]), "start must be a float, not text"),
        (lambda t: gt.nn.EUNN(t["module"], 3), "input_size must be an int, not a Linear"),
    ],
)
def test_the_sentence_of_every_package_names_the_right_call(call, words, things):
    with pytest.raises(GantoolsError) as caught:
        call(things)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: analysis.jacobian(t["batch"], t["game"]), "in the order of jacobian(game, batch)"),
        (lambda t: analysis.jacobian(t["module"], t["batch"]), "gt.minimization(model, loss)"),
        (lambda t: analysis.update_operator(t["game"], t["batch"]), "gt.trainers.make('simultaneous', game, lr=1e-3)"),
        (lambda t: analysis.update_operator(torch.optim.SGD(t["module"].parameters()), t["batch"]), "base='adam'"),
        (lambda t: analysis.index(t["spectrum"]), "judged by stability(s)"),
        (lambda t: analysis.stability(t["operator"]), "s = spectrum(A)"),
        (lambda t: analysis.stability(t["game"], 0.1), "spectrum(jacobian(game, batch))"),
        (lambda t: analysis.eigenvalues(t["game"]), "J = jacobian(game, batch)"),
        (lambda t: analysis.spectrum(t["module"]), "hessian(model, loss, batch)"),
        (
            lambda t: analysis.eigenvalues(t["operator"], "LM"),
            "k must be an int, not text: give it by name, which='LM'",
        ),
        (lambda t: analysis.eigenvalues(t["operator"], 2.5), "k must be an int, not a float"),
        (lambda t: analysis.conditions(t["spectrum"], t["operator"]), "in the order of conditions(A, s)"),
        (
            lambda t: analysis.preconditioned(t["optimizer"], t["operator"]),
            "in the order of preconditioned(J, optimizer)",
        ),
        (lambda t: analysis.trace(t["matrix"]), "torch.from_numpy(matrix)"),
        (lambda t: analysis.LinearOperator(t["batch"], 3), "matvec must be a function, not a Tensor"),
        (lambda t: analysis.restrict(t["operator"], 0.5), "part must be text or a slice or a Tensor"),
    ],
)
def test_the_sentence_names_the_right_call(call, words, things):
    with pytest.raises(GantoolsError, match=".*") as caught:
        call(things)
    assert words in str(caught.value)


def test_what_is_as_good_as_the_kind_is_taken(things):
    s = analysis.eigenvalues(
        things["operator"], np.int64(1), max_matvecs=1e3, tol=np.float32(1e-3), verify=np.bool_(False)
    )
    assert len(s) == 1
    assert analysis.stability(s, torch.tensor(0.1)).lr == pytest.approx(0.1)
    with pytest.raises(TypeError, match="missing"):
        analysis.jacobian(things["game"])  # type: ignore[call-arg]


def test_kinds_that_only_type_checkers_import_are_known_by_name():
    @checked
    def judge(optimizer: "GameOptimizer", more: "Unknown | None" = None):  # noqa: F821 # type: ignore[name-defined]
        return optimizer

    class GameOptimizer: ...

    assert judge(GameOptimizer(), more=3)
    with pytest.raises(GantoolsError, match=r"optimizer must be a GameOptimizer, not an int"):
        judge(3)  # type: ignore[arg-type]
