"""Wrong kinds of argument in every public function of gantools.analysis."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

import gantools as gt
from gantools import analysis
from gantools.analysis.operators.argument_kinds import checked
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
