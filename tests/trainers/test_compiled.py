"""Compiled steps are the steps as they are: for every method, rule, schedule and batch, or a sentence says why not."""

import os

import pytest
import torch
from torch import nn

import gantools as gt
from gantools import traced
from gantools.schedules import Cosine, Linear
from gantools.trainers import BASES, OPTIMIZERS, Adam, compiled, make
from tests import cases
from tests.game_oracles import relative
from tests.quick import few

F64 = torch.float64
# Solvers stop at a residual, and the settings of `auto` follow from eigenvalues: they are not one graph.
DECIDE = {"competitive", "adaptive_competitive", "proximal", "auto"}


@pytest.fixture
def recorded_only(monkeypatch):
    """Run graphs as they were recorded: all but the compiler itself, which takes a minute."""
    monkeypatch.setattr(traced, "compiled", lambda graph, examples: graph)


def stepped(make_optimizer, steps, said=None, batch_of=None, between=None):
    """Return an optimizer after some steps; compiled, where a list is given for what is told."""
    optimizer = make_optimizer()
    if said is not None:
        compiled(optimizer, said.append)
    for step in range(steps):
        if between:
            between(optimizer, step)
        own = [batch_of(step)] if batch_of else cases.step_batches(optimizer, step)
        info = optimizer.step(*own)
    return optimizer, info


def require_equal(make_optimizer, steps=5, refused=False, tolerance=1e-13, **options):
    """Compare both ways; return what was told."""
    said = []
    torch.manual_seed(0)
    plain, info = stepped(make_optimizer, steps, **options)
    after = torch.rand(())
    torch.manual_seed(0)
    ours, told = stepped(make_optimizer, steps, said, **options)
    assert torch.rand(()) == after
    assert bool(ours.taken.why_not) == refused, said
    assert relative(ours.game.vector(), plain.game.vector()) <= tolerance
    assert ours.state.counters == plain.state.counters
    for key, value in plain.state.memory.items():
        assert (ours.state.memory[key] - value).norm() <= tolerance * value.norm(), key
    for name, value in plain.game.buffers().items():
        assert torch.allclose(ours.game.buffers()[name], value, rtol=1e-12), name
    for player in plain.game.slices:
        assert torch.allclose(told.losses[player], info.losses[player], rtol=1e-10)
        assert torch.allclose(told.field_norms[player], info.field_norms[player], rtol=1e-10)
    return said


@pytest.mark.usefixtures("recorded_only")
@pytest.mark.parametrize("name", few(OPTIMIZERS, 6))
def test_every_method(name):
    said = require_equal(lambda: make(name, cases.tanh_gan(), lr=0.02), 4, refused=name in DECIDE)
    assert len([s for s in said if s.startswith("Steps are not compiled")]) == (name in DECIDE)


@pytest.mark.usefixtures("recorded_only")
@pytest.mark.parametrize("base", BASES)
def test_every_rule(base):
    require_equal(lambda: make("consensus", cases.tanh_gan(), lr=0.02, base=base, gamma=0.5))


@pytest.mark.usefixtures("recorded_only")
def test_schedules_are_asked_at_every_step():
    rule = Adam(betas=(Linear(0.5, 0.1, 4), Linear(0.9, 0.99, 4)))
    regularizers = [gt.regularizers.R1(Linear(1.0, 0.0, 3)), gt.regularizers.R2(0.5)]

    def optimizer():
        game = cases.tanh_gan(regularizers=regularizers)
        return make("consensus", game, lr=Cosine(0.02, 0.001, 4), base=rule, gamma=Linear(0.1, 1.0, 4))

    def batch(step):
        return cases.gan_batch(seed=step) | {"step": torch.tensor(step)}

    require_equal(optimizer, 6, batch_of=batch)


@pytest.mark.usefixtures("recorded_only")
def test_buffers_move_and_random_numbers_are_the_same():
    def model():
        torch.manual_seed(3)
        layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 1)).double()
        return gt.minimization(layers, lambda model, batch: (model(batch) + torch.randn(())).square().mean())

    source = torch.Generator().manual_seed(0)
    batches = [torch.randn(5, 3, generator=source, dtype=F64) for _ in range(5)]
    require_equal(lambda: make("simultaneous", model(), lr=0.02), batch_of=batches.__getitem__)


@pytest.mark.usefixtures("recorded_only")
def test_another_form_of_batch_mode_or_setting_has_its_own_graph():
    def between(optimizer, step):
        if step == 2:
            optimizer.clip_norm = 1e-3
        if step == 3:
            optimizer.game.players["generator"].eval()

    sizes = [8, 6, 8, 8]
    said = require_equal(
        lambda: make("simultaneous", cases.tanh_gan(), lr=0.02),
        4,
        batch_of=lambda step: cases.gan_batch(sizes[step], seed=step),
        between=between,
    )
    assert sum(s.startswith("Compiling a step of") for s in said) == 4


@pytest.mark.usefixtures("recorded_only")
def test_copies_of_a_game():
    def optimizer():
        return make("simultaneous", gt.stacked([cases.tanh_gan(seed=s) for s in range(3)]), lr=0.02, base="rmsprop")

    game = optimizer().game
    each = [game.each([cases.gan_batch(seed=10 * step + copy) for copy in range(3)]) for step in range(4)]
    require_equal(optimizer, 4, batch_of=each.__getitem__)


@pytest.mark.usefixtures("recorded_only")
def test_resumed_is_never_stopped():
    def optimizer():
        return make("simultaneous", cases.tanh_gan(), lr=0.02, base="adam")

    whole, _ = stepped(optimizer, 6, [])
    half, _ = stepped(optimizer, 3, [])
    again = compiled(optimizer(), lambda text: None)
    again.game.load_vector(half.game.vector())
    again.load_state_dict(half.state_dict())
    for step in range(3, 6):
        again.step(*cases.step_batches(again, step))
    assert torch.equal(again.game.vector(), whole.game.vector())


@pytest.mark.usefixtures("recorded_only")
def test_what_a_loss_reads_elsewhere_is_found_at_the_next_check():
    weight = [1.0]

    def optimizer():
        weight[0] = 1.0
        model = cases.mlp(2, 3, 1)
        return make(
            "simultaneous", gt.minimization(model, lambda m, b: weight[0] * m(b["real"]).square().mean()), lr=0.1
        )

    def between(optimizer, step):
        weight[0] = 1.0 if step < 3 else 2.0

    said = require_equal(optimizer, 6, refused=True, between=between)
    assert said[-1] == "Steps are not compiled: compiled, the step is another than without. They are taken as they are."


@pytest.mark.parametrize("wrong", ["NaN", "error", "another"])
def test_a_compiler_that_fails_is_found_at_the_first_step(monkeypatch, wrong):
    def compiler(graph, examples):
        if wrong == "error":
            raise RuntimeError("no compiler found\nat all")
        factor = float("nan") if wrong == "NaN" else 1.001
        return lambda *inputs: [factor * x for x in graph(*inputs)]

    monkeypatch.setattr(traced, "compiled", compiler)
    said = require_equal(lambda: make("simultaneous", cases.tanh_gan(), lr=0.02), 3, refused=True, tolerance=0)
    why = "no compiler found" if wrong == "error" else "compiled, the step is another than without"
    assert said[1:] == [f"Steps are not compiled: {why}. They are taken as they are."]


@pytest.mark.usefixtures("recorded_only")
def test_gradients_that_are_rounding_alone_are_no_disagreement(monkeypatch):
    """A bias before a normalization: its gradient is rounding, and Adam's first step goes by its sign."""

    def model():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Linear(3, 40), nn.BatchNorm1d(40), nn.Tanh(), nn.Linear(40, 1))
        return gt.minimization(layers, lambda model, batch: model(batch).square().mean())

    def other_order(graph, examples):
        # As a compiler that sums otherwise: the same step from a point within rounding.
        return lambda given, w, *rest: graph(given, w * (1 + 2e-7), *rest)

    monkeypatch.setattr(traced, "compiled", other_order)
    optimizer = compiled(make("simultaneous", model(), lr=0.1, base="adam"), lambda text: None)
    optimizer.step(torch.randn(16, 3, generator=torch.Generator().manual_seed(0)))
    assert not optimizer.taken.why_not


@pytest.mark.usefixtures("recorded_only")
def test_objects_in_a_batch_are_refused():
    class Graph:
        def __init__(self, values):
            self.x = values

    def optimizer():
        model = cases.mlp(2, 3, 1)
        return make("simultaneous", gt.minimization(model, lambda m, b: m(b["graph"].x).square().mean()), lr=0.1)

    said = require_equal(
        optimizer, 3, refused=True, tolerance=0, batch_of=lambda s: {"graph": Graph(cases.gan_batch(seed=s)["real"])}
    )
    assert said == [
        "Steps are not compiled: the batch holds a Graph, whose tensors are not seen. They are taken as they are."
    ]


@pytest.mark.usefixtures("recorded_only")
def test_costs_are_said_before_and_after():
    said = []
    stepped(lambda: make("simultaneous", cases.tanh_gan(), lr=0.02), 8, said)
    assert len(said) == 2
    assert said[0].startswith("Compiling a step of ")
    assert "compiling pays from step" in said[0]
    assert said[1].startswith("Compiled in ")
    assert "in place of" in said[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "base", "dtype"),
    [
        ("simultaneous", "sgd", F64),
        ("alternating", "adam", torch.float32),
        ("extragradient", "adam", F64),
        ("consensus", "rmsprop", torch.float32),
        ("sga", "sgd", F64),
    ],
)
def test_the_compiler_itself(name, base, dtype):
    def optimizer():
        return make(name, cases.tanh_gan(dtype=dtype), lr=0.02, **({"base": base} if name != "sga" else {}))

    plain, _ = stepped(optimizer, 5, batch_of=lambda step: cases.gan_batch(seed=step, dtype=dtype))
    ours, _ = stepped(optimizer, 5, [], batch_of=lambda step: cases.gan_batch(seed=step, dtype=dtype))
    assert relative(ours.game.vector(), plain.game.vector()) <= (1e-12 if dtype == F64 else 1e-5)
    if "ATEN_CPU_CAPABILITY" not in os.environ:  # under which PyTorch's compiler gives NaN, or fails
        assert not ours.taken.why_not
