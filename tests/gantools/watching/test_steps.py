"""The Jacobian of a loop's own step, as it is by central differences of the step itself in float64."""

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.errors import GantoolsError
from gantools.watching.differences import StepOperator
from tests.game_oracles import finite_jacobian, relative


def leading(values, k=4):
    values = torch.as_tensor(values)
    return values[values.abs().argsort(descending=True)][:k]


def oracle(step, tensors, put_back=(), h=1e-4):
    """The eigenvalues of the step as a map of these tensors (`tensors()`), in their order; all is put back."""
    start, others = [x.detach().clone() for x in tensors()], [(x, x.detach().clone()) for x in put_back]

    def moved(z):
        with torch.no_grad():
            for x, value in others:
                x.copy_(value)
            for x, piece in zip(tensors(), z.split([x.numel() for x in start]), strict=True):
                x.copy_(piece.view_as(x))
        step()
        return torch.cat([x.detach().reshape(-1) for x in tensors()])

    z = torch.cat([x.reshape(-1) for x in start])
    size = z.abs().clamp(min=1e-6)
    J = finite_jacobian(moved, z, h * size)
    moved(z)
    with torch.no_grad():
        for x, value in [*zip(tensors(), start, strict=True), *others]:
            x.copy_(value)
    return leading(torch.linalg.eigvals(J * size / size[:, None]), len(z))


def eigenvalues(step, optimizer, k=4):
    U = StepOperator.of(step, {"o": optimizer}, ())
    return U, leading(torch.linalg.eigvals(U.dense()), k)


def memory(optimizer, names):
    return [state[name] for state in optimizer.state.values() for name in names if name in state]


class Scaled(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.gamma = nn.Parameter(torch.full(shape, 0.5))
        self.linear = nn.Linear(2, 1)

    def forward(self, x):
        return self.gamma + self.linear(x)


def fitting(model, optimizer, x, y, steps=20, extra=None):
    def step():
        def closure():
            optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss = loss if extra is None else loss + extra()
            loss.backward()
            return loss

        optimizer.step(closure)

    for _ in range(steps):
        step()
    return step


RULES = {
    "rmsprop": (torch.optim.RMSprop, {"lr": 1e-3, "eps": 1.0}, ["square_avg"]),
    "adam": (torch.optim.Adam, {"lr": 1e-2, "eps": 0.1}, ["exp_avg", "exp_avg_sq"]),
    "nadam": (torch.optim.NAdam, {"lr": 1e-2, "eps": 0.1}, ["exp_avg", "exp_avg_sq"]),
    "asgd": (torch.optim.ASGD, {"lr": 1e-2, "t0": 0}, ["ax"]),
}


class TestMemory:
    @pytest.mark.parametrize("rule", RULES)
    @pytest.mark.parametrize("shape", [(), (1,)])
    def test_of_a_single_number_has_no_count_of_steps(self, rule, shape):
        torch.manual_seed(0)
        make, settings, names = RULES[rule]
        model, x, y = Scaled(shape).double(), torch.randn(20, 2).double(), torch.randn(20, 1).double()
        optimizer = make(model.parameters(), **settings)
        step = fitting(model, optimizer, x, y)
        U, values = eigenvalues(step, optimizer)
        clocks = [x for state in optimizer.state.values() for key, x in state.items() if key not in names]
        expected = oracle(step, lambda: [*model.parameters(), *memory(optimizer, names)], clocks)
        assert U.n == len(expected) and relative(values.abs(), expected[:4].abs()) < 1e-6

    @pytest.mark.parametrize("rule", ["adafactor", "lbfgs"])
    def test_is_in_it_whatever_its_shape_and_container(self, rule):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)).double()
        x, y = torch.randn(12, 2).double(), torch.randn(12, 2).double()
        if rule == "adafactor":
            optimizer = torch.optim.Adafactor(model.parameters(), lr=0.05)
        else:
            optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=2, history_size=2)
        step = fitting(model, optimizer, x, y)
        states = list(optimizer.state.values())

        def tensors():
            if rule == "adafactor":
                return [*model.parameters(), *memory(optimizer, ["row_var", "col_var", "variance"])]
            lists = [x for key in ("old_dirs", "old_stps", "ro") for x in states[0][key]]
            return [*model.parameters(), *memory(optimizer, ["d", "H_diag", "prev_flat_grad"]), *lists]

        clocks = memory(optimizer, ["step"])
        counts = {key: x for key, x in states[0].items() if isinstance(x, int)}
        U, values = eigenvalues(step, optimizer)

        def whole():
            states[0].update(counts)
            step()

        expected = oracle(whole, tensors, clocks)
        assert relative(values.abs(), expected[:4].abs()) < 1e-5 and U.n >= len(expected)

    def test_that_still_grows_is_refused(self):
        model, x = nn.Linear(2, 1), torch.randn(12, 2)
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=1, history_size=50)
        step = fitting(model, optimizer, x, torch.sin(3 * x[:, :1]), steps=2)
        with pytest.raises(GantoolsError, match="LBFGS"):
            StepOperator.of(step, {"o": optimizer}, ())

    @pytest.mark.parametrize("rule", ["rmsprop", "adam"])
    def test_that_is_made_of_rounding_errors_is_a_constant(self, rule):
        torch.manual_seed(0)
        make, settings = {"rmsprop": (torch.optim.RMSprop, {}), "adam": (torch.optim.Adam, {"betas": (0.5, 0.99)})}[
            rule
        ]
        model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Tanh(), nn.Linear(2, 1)).double()
        x, y = torch.randn(16, 2).double(), torch.randn(16, 1).double()
        optimizer = make(model.parameters(), lr=2e-3)
        step = fitting(model, optimizer, x, y, steps=60)
        square = RULES[rule][2][-1]
        assert float(optimizer.state[model[0].bias][square].max()) < 1e-30
        U, values = eigenvalues(step, optimizer)
        bias = optimizer.state[model[0].bias]
        moving = [state for state in optimizer.state.values() if state is not bias]
        put_back = [*memory(optimizer, ["step"]), *model.buffers(), *(bias[name] for name in RULES[rule][2])]

        def tensors():
            return [*model.parameters(), *(state[name] for state in moving for name in RULES[rule][2])]

        expected = oracle(step, tensors, put_back)
        assert U.error < 1e-4 and relative(values.abs(), expected[:4].abs()) < 1e-5


class DeepCopied(nn.Linear):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.register_buffer("scale", torch.tensor(0.7))

    def forward(self, x):
        return super().forward(x) * self.scale

    def __deepcopy__(self, memo):
        made = DeepCopied(self.in_features, self.out_features)
        made.load_state_dict(self.state_dict())
        for name, p in self.named_parameters():
            made._parameters[name] = memo.get(id(p), p)
        return made


WRAPPED = {
    "spectral": lambda *sizes: nn.utils.parametrizations.spectral_norm(nn.Linear(*sizes)),
    "weight": lambda *sizes: nn.utils.parametrizations.weight_norm(nn.Linear(*sizes)),
    "own": DeepCopied,
}


class TestPrecision:
    @pytest.mark.parametrize("wrapped", WRAPPED)
    def test_is_float64_of_modules_that_copy_themselves(self, wrapped):
        torch.manual_seed(0)
        model = nn.Sequential(WRAPPED[wrapped](2, 4), nn.Tanh(), WRAPPED[wrapped](4, 1))
        x, y = torch.randn(20, 2), torch.randn(20, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        step = fitting(model, optimizer, x, y)
        U, values = eigenvalues(step, optimizer)
        assert U.evaluated_in == torch.float64 and U.refusal is None and U.error < 1e-6
        assert all(b.dtype == torch.float32 for b in model.buffers())
        model.double()
        step = fitting(model, optimizer, x.double(), y.double(), steps=0)
        vectors = [b for b in model.buffers() if b.dim()]  # u and v of spectral norm, of which a step reads v
        expected = oracle(step, lambda: [*model.parameters(), *vectors])
        assert relative(values.abs(), expected[:4].abs()) < 1e-6

    def test_is_told_where_the_step_refuses_float64(self):
        torch.manual_seed(0)
        model, x = nn.Linear(2, 1), torch.randn(20, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step():
            optimizer.zero_grad()
            model(torch.mm(x.float(), torch.eye(2, dtype=torch.float32))).square().mean().backward()
            optimizer.step()

        step()
        with pytest.warns(UserWarning, match="not of float64.*dtype"):
            seen = gt.watch({"model": model}, update=step, optimizers=optimizer, every=1, budget=None)(0)
        H = 2 * torch.cat([x, torch.ones(20, 1)], 1).T @ torch.cat([x, torch.ones(20, 1)], 1) / 20
        expected = float((1 - 0.1 * torch.linalg.eigvalsh(H)).abs().max())
        assert seen.spectral_radius == pytest.approx(expected, rel=1e-2)
