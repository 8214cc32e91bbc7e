"""Players of kinds that cannot be analysed as they come: one sentence, or what is right."""

import functools
import sys
import types

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis import hessian, jacobian
from gantools.errors import GantoolsError, GantoolsWarning, NonFiniteFieldError
from gantools.trainers import Simultaneous
from tests import cases
from tests.analysis.products.test_differences import differences
from tests.draws import draw

F64 = torch.float64


def mean_square(model, x):
    return model(x).square().mean()


@pytest.fixture
def process_group(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_a_module_of_one_process_is_taken_out_of_its_wrapper(process_group):
    model, x = cases.mlp(3, 4, 2), torch.ones(4, 3, dtype=F64)
    truth = hessian(model, mean_square, x).dense()
    wrapped = nn.parallel.DistributedDataParallel(model)
    with pytest.warns(GantoolsWarning, match="one process"):
        H = hessian(wrapped, mean_square, x)
    assert torch.equal(H.dense(), truth)
    with pytest.raises(GantoolsError, match="holds a DistributedDataParallel"):
        gt.minimization(nn.Sequential(wrapped), mean_square)
    wrapped.process_group = type("Group", (), {"size": lambda self: 2})()
    with pytest.raises(GantoolsError, match="2 processes.*averages"):
        gt.minimization(wrapped, mean_square)


def test_a_module_that_is_spread_over_processes_is_refused(process_group):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import distribute_tensor

    model, x, mesh = cases.mlp(3, 4, 2), torch.ones(4, 3, dtype=F64), init_device_mesh("cpu", (1,))
    fully_shard(model, mesh=mesh)
    for use in (lambda g: hessian(g, x), lambda g: Simultaneous(g).step(x), lambda g: g.field(x)):
        with pytest.raises(GantoolsError, match=r"FSDP2.*gantools\.sharded.*get_model_state_dict"):
            use(gt.minimization(model, mean_square))
    alone = nn.Linear(3, 2)
    alone.weight = nn.Parameter(distribute_tensor(alone.weight.detach(), mesh))
    with pytest.raises(GantoolsError, match="tensor parallelism.*get_model_state_dict"):
        gt.minimization(alone, mean_square)


@pytest.mark.parametrize("lazy", [nn.LazyLinear(2), nn.LazyConv1d(2, 1), nn.LazyBatchNorm1d(affine=False)])
def test_layers_without_values_are_refused(lazy):
    with pytest.raises(GantoolsError, match=r"no values for '1\..*call the module on one before"):
        gt.minimization(nn.Sequential(nn.Linear(3, 3), lazy), mean_square)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.BatchNorm1d(3), (1, 3)), (nn.BatchNorm2d(3), (1, 3, 1, 1)), (nn.InstanceNorm1d(3), (4, 3, 1))],
)
def test_normalization_of_one_value_is_refused_in_a_sentence(layer, shape):
    model = nn.Sequential(cases.Point([1.0]), layer)
    x = torch.ones(shape)
    for use in (lambda g: jacobian(g, x), lambda g: Simultaneous(g).step(x)):
        with pytest.raises(GantoolsError, match=r"got one value a channel \(an input of shape"):
            use(gt.minimization(model, lambda m, x: m[1](m[0].value.float() * x).square().mean()))


def test_a_sparse_embedding_and_scripted_modules_are_right():
    index = torch.tensor([[0, 1], [2, 2]])
    made = {sparse: nn.Embedding(4, 3, sparse=sparse, dtype=F64) for sparse in (False, True)}
    made[True].load_state_dict(made[False].state_dict())
    H = {sparse: hessian(m, lambda m, i: m(i).sin().square().mean(), index).dense() for sparse, m in made.items()}
    assert torch.equal(H[True], H[False])
    model, x = cases.mlp(3, 4, 2), torch.ones(4, 3, dtype=F64)
    truth = hessian(model, mean_square, x).dense()
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        scripted = torch.jit.script(model), torch.jit.trace(model, x)
    for one in scripted:
        torch.testing.assert_close(hessian(one, mean_square, x).dense(), truth, rtol=1e-9, atol=1e-12)


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.net = kind(2, 2, batch_first=True, dtype=F64)

    def forward(self, x):
        return self.net(x)[0]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_scripted_recurrent_net_follows_the_weights_that_it_is_given(kind):
    x = draw(3, 4, 2)
    model = Recurrent(kind)
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        scripted = torch.jit.script(Recurrent(kind))
    kept = scripted.net._flat_weights
    for method in ("reverse", "forward", "difference"):
        H = hessian(scripted, mean_square, x, method=method)
        u = torch.ones(H.n, dtype=F64)
        assert (H @ u - differences(model, mean_square, x) @ u).norm() < 1e-6 * (H @ u).norm()
    assert all(now is before for now, before in zip(scripted.net._flat_weights, kept, strict=True))
    Simultaneous(gt.minimization(scripted, mean_square), lr=0.1).step(x)
    Simultaneous(gt.minimization(model, mean_square), lr=0.1).step(x)
    torch.testing.assert_close(scripted(x), model(x), rtol=1e-12, atol=1e-12)


class Private(nn.Module):
    """Keeps each sample's gradient by hooks, one backward pass for each forward pass, as opacus' wrapper does."""

    def __init__(self, module):
        super().__init__()
        self.module, self.hooks_enabled = module, True
        self.given, self.gradients = [], []
        for layer in (module[0], module[2]):
            layer.register_forward_hook(self.capture)
            layer.register_full_backward_hook(functools.partial(self.record, scale=1.0))

    def capture(self, layer, given, output):
        self.given.append(given[0].detach())

    def record(self, layer, given, output, scale):
        self.gradients.append(scale * output[0][:, :, None] * self.given.pop()[:, None])

    def forward(self, x):
        return self.module(x)


@pytest.fixture
def opacus(monkeypatch):
    """The class in the place of opacus' own, whose hooks are known by the module they come from."""
    module = types.ModuleType("opacus.grad_sample.gsm_base")
    module.AbstractGradSampleModule = Private
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for hook in (Private.capture, Private.record):
        monkeypatch.setattr(hook, "__module__", "opacus.grad_sample.grad_sample_module")


@pytest.mark.parametrize("method", ["auto", "reverse", "forward", "difference"])
def test_hooks_of_differential_privacy_are_off_in_evaluations_and_on_again(method, opacus):
    model, x = cases.mlp(3, 4, 2), draw(5, 3)
    private = Private(cases.mlp(3, 4, 2))
    private.module.load_state_dict(model.state_dict())
    with pytest.warns(GantoolsWarning, match="neither clipped nor with noise"):
        H = hessian(private, mean_square, x, method=method)
    u = torch.ones(H.n, dtype=F64)
    assert (H @ u - differences(model, mean_square, x) @ u).norm() < 1e-6 * (H @ u).norm()
    assert not private.given and not private.gradients
    mean_square(private, x.requires_grad_()).backward()
    assert len(private.gradients) == 2 and not private.given
    torch.testing.assert_close(private.gradients[0].sum(0), private.module[2].weight.grad)


class Probable(nn.Module):
    """Scores through a sigmoid that is no layer, reshaped."""

    def __init__(self, end=torch.sigmoid):
        super().__init__()
        self.net, self.end = nn.Linear(2, 1, dtype=F64), end

    def forward(self, x):
        return self.end(self.net(x)).view(-1).unsqueeze(1)


@pytest.mark.parametrize("end", [torch.sigmoid, nn.Sigmoid()], ids=["function", "layer"])
def test_probabilities_as_logits_are_told_once(end):
    generator, batch = (
        nn.Linear(2, 2, dtype=F64),
        {"real": torch.ones(3, 2, dtype=F64), "latent": torch.ones(3, 2, dtype=F64)},
    )
    game = gt.gan(generator, Probable(end), loss="nonsaturating")
    with pytest.warns(GantoolsWarning, match="ends in a sigmoid.*'nonsaturating'.*logits") as told:
        game.field(batch)
        game.field(batch)
    assert len(told) == 1
    for loss, discriminator in (("least_squares", Probable(end)), ("nonsaturating", Probable(torch.tanh))):
        gt.gan(generator, discriminator, loss=loss).field(batch)


def test_a_curvature_that_is_not_finite_is_blamed_on_nothing_else():
    def losses(players, factor):
        a, b = players.a.value, players.b.value
        return {"a": (a * b).sum(), "b": (b * factor).abs().pow(1.5).sum() - (a * b).sum()}

    # An infinite slope at b = 0 is the field's own; where b does not enter, it is an artefact, and differences serve.
    one, zero = torch.ones((), dtype=F64), torch.zeros((), dtype=F64)
    sharp = gt.Game({"a": cases.Point([1.0]), "b": cases.Point([0.0])}, losses)
    with pytest.raises(NonFiniteFieldError, match="not twice differentiable"):
        jacobian(sharp, one)
    assert not jacobian(sharp, one, check=False).dense().isfinite().all()
    smooth = gt.Game({"a": cases.Point([1.0]), "b": cases.Point([2.0])}, losses)
    with pytest.warns(GantoolsWarning, match="although the field changes smoothly"):
        J = jacobian(smooth, zero).dense()
    torch.testing.assert_close(J, torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=F64))
