"""The bugs of public implementations that are wrong formulas, each written out beside what it should have been.

Numbered as in `test_published_bugs.py`, which has the bugs of bookkeeping. Every test shows that the wrong formula
would have failed it.
"""

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.analysis.operators.jacobian import jacobian, update_operator
from gantools.trainers import Average, Consensus, Exponential, make
from tests import cases
from tests.game_oracles import (
    eigenvalues,
    finite_jacobian,
    finite_product,
    frozen_field,
    match_distance,
    relative,
    tanh_gan_field,
)

F64 = torch.float64
G, D = slice(0, 17), slice(17, 30)
SIZES = (6, 3, 6, 2, 6, 3, 3, 1)  # of the tensors of `cases.tanh_gan`


def rows_of_the_jacobian(w, batch, once_a_tensor):
    """The notebook's loop: over tensors, over the scalars of each; it appends behind the inner loop, not in it."""
    z = w.clone().requires_grad_()
    field, rows = tanh_gan_field(z, batch), []
    for entries in torch.arange(30).split(SIZES):
        for entry in entries:
            (row,) = torch.autograd.grad(field[entry], z, retain_graph=True)
            if not once_a_tensor:
                rows.append(row)
        if once_a_tensor:
            rows.append(row)
    return torch.stack(rows)


def test_1_the_jacobian_has_a_row_for_each_parameter():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    dense = jacobian(game, batch).dense()
    published = rows_of_the_jacobian(game.vector(), batch, once_a_tensor=True)
    assert relative(dense, rows_of_the_jacobian(game.vector(), batch, once_a_tensor=False)) < 1e-13
    assert published.shape == (8, 30) != dense.shape  # of which there are no eigenvalues
    last = torch.tensor(SIZES).cumsum(0) - 1
    assert relative(dense[last], published) < 1e-13


def dirac_consensus(z, gamma, share):
    """The consensus field of the Dirac-GAN, with this share of the term in f' f''; 1/2 is the published one."""
    theta, psi = z
    f1 = torch.sigmoid(theta * psi)
    curved = share * f1 * f1 * (1 - f1) * (theta**2 + psi**2)
    penalty = torch.stack([f1**2 * theta + curved * psi, f1**2 * psi + curved * theta])
    return f1 * torch.stack([-psi, theta]) + gamma * penalty


def test_3_consensus_on_dirac_has_the_whole_second_term():
    theta, psi, gamma, h = 0.9, -1.4, 0.8, 0.1
    game = cases.dirac("minimax", theta, psi)
    w = game.vector()
    Consensus(game, lr=h, gamma=gamma).step(cases.DIRAC_BATCH)
    found = (w - game.vector()) / h
    assert relative(found, dirac_consensus(w, gamma, 1.0)) < 1e-13
    assert relative(found, dirac_consensus(w, gamma, 0.5)) > 0.05
    # At the equilibrium the two cannot be told apart: an eigenvalue test alone would pass both.
    origin = torch.zeros(2, dtype=F64)
    right, wrong = (finite_jacobian(lambda z, s=s: dirac_consensus(z, gamma, s), origin) for s in (1.0, 0.5))
    assert relative(wrong, right) < 1e-9
    update = update_operator(Consensus(cases.dirac("minimax"), lr=h, gamma=gamma), cases.DIRAC_BATCH)
    assert relative((torch.eye(2, dtype=F64) - update.dense()) / h, right) < 1e-9


def test_4_what_is_plotted_is_what_is_descended():
    """For J of the field that is descended the regularized one is J + gamma J^T J; with a minus it would repel."""
    h, gamma = 0.05, 0.5
    game, j = cases.nonnormal()
    eye = torch.eye(5, dtype=F64)
    found = (eye - update_operator(Consensus(game, lr=h, gamma=gamma), None).dense()) / h
    assert relative(found, j + gamma * j.T @ j) < 1e-12
    assert relative(found, j - gamma * j.T @ j) > 0.5
    rotating = cases.bilinear([[1.0]], [1.0], [1.0])
    start = rotating.vector().norm()
    optimizer = Consensus(rotating, lr=h, gamma=gamma)
    j = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=F64)
    right, wrong = (
        np.abs(np.linalg.eigvals(np.eye(2) - h * (j + sign * gamma * j.T @ j).numpy())).max() for sign in (1, -1)
    )
    for _ in range(50):
        optimizer.step(None)
    observed = (rotating.vector().norm() / start).item() ** (1 / 50)
    assert abs(observed - right) < 1e-12 and right < 1 < wrong


def test_4_both_players_take_the_penalty_and_it_is_half_the_square():
    """In the script the penalty's gradient is never used, it is that of the norm, and the generator stands still."""
    game, batch, h, gamma = cases.tanh_gan(), cases.gan_batch(), 0.1, 3.0
    w = game.vector()
    xi = tanh_gan_field(w, batch).detach()
    uphill = rows_of_the_jacobian(w, batch, once_a_tensor=False).T @ xi
    Consensus(game, lr=h, gamma=gamma).step(batch)
    found = (w - game.vector()) / h
    assert relative(found, xi + gamma * uphill) < 1e-12
    still = (xi + gamma * uphill).clone()
    still[G] = 0
    for wrong in (xi, xi + gamma * uphill / xi.norm(), still):
        for part in (G, D) if wrong is not still else (G,):
            assert (found[part] - wrong[part]).norm() > 0.05 * found[part].norm()


def test_5_products_are_with_the_jacobian_not_with_its_transpose():
    """Eigenvalues are the same, eigenvectors and products are not."""
    game, batch = cases.tanh_gan(), cases.gan_batch()
    w, u = game.vector(), torch.randn(30, generator=torch.Generator().manual_seed(0), dtype=F64)
    operator = jacobian(game, batch)
    z = w.clone().requires_grad_()
    (published,) = torch.autograd.grad(tanh_gan_field(z, batch) @ u, z)  # the gradient of <g, u>
    exact = finite_product(frozen_field(game, batch), w, u)
    assert relative(operator @ u, exact) < 1e-8
    assert relative(published, exact) > 0.5
    assert relative(operator.T @ u, published) < 1e-13
    rows = rows_of_the_jacobian(w, batch, once_a_tensor=False)
    assert match_distance(np.linalg.eigvals(rows.numpy()), np.linalg.eigvals(rows.T.numpy())) < 1e-9


def test_5_the_average_takes_in_the_point_behind_both_halves():
    """In the script the average follows the first half of an extragradient step, the extrapolated point, alone."""
    game, h, share = cases.tanh_gan(), 0.4, 0.3
    average = Average(game, Exponential(decay=1 - share, ramp=0))
    optimizer = make("extragradient", game, lr=h)
    w = right = wrong = game.vector()
    for step in range(6):
        batch = cases.gan_batch(seed=step)
        optimizer.step(batch)
        average.update()
        ahead = w - h * tanh_gan_field(w, batch).detach()
        w = w - h * tanh_gan_field(ahead, batch).detach()
        right, wrong = torch.lerp(right, w, share), torch.lerp(wrong, ahead, share)
    assert relative(average.vector, right) < 1e-12
    assert relative(wrong - w, right - w) > 0.02


def test_10_r1_has_its_half():
    """gamma/2 psi^2 on the Dirac-GAN, critical at gamma = 2 f' = 1; without the half it is critical at 1/2."""

    def without_half(gamma):
        plain = cases.dirac("minimax")

        def losses(players, batch):
            values = dict(plain.losses(players, batch))
            values["discriminator"] = values["discriminator"] + gamma * players["discriminator"].psi ** 2
            return values

        return gt.Game(dict(plain.players), losses)

    def spectrum(game):
        return eigenvalues(jacobian(game, cases.DIRAC_BATCH))

    def paper(gamma):
        root = np.sqrt(complex(gamma**2 / 4 - 0.25))
        return [gamma / 2 + root, gamma / 2 - root]

    for gamma in (0.3, 0.8, 3.0):
        ours = spectrum(cases.dirac("minimax", regularizers=[gt.regularizers.R1(gamma)]))
        assert match_distance(ours, paper(gamma)) < 1e-12
        assert match_distance(spectrum(without_half(gamma)), paper(gamma)) > 0.1
        assert match_distance(spectrum(without_half(gamma)), paper(2 * gamma)) < 1e-7  # its reg_param 10 is gamma 20
    overdamped = spectrum(cases.dirac("minimax", regularizers=[gt.regularizers.R1(1.01)]))
    rotating = spectrum(cases.dirac("minimax", regularizers=[gt.regularizers.R1(0.99)]))
    assert abs(overdamped.imag).max() == 0 < abs(rotating.imag).min()


def flowed(w, field, steps=8):
    """The point that the flow of -field reaches in unit time, by steps of the classical Runge-Kutta method."""
    h = 1 / steps
    for _ in range(steps):
        k1 = field(w)
        k2 = field(w - h / 2 * k1)
        k3 = field(w - h / 2 * k2)
        k4 = field(w - h * k3)
        w = w - h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return w


@pytest.mark.slow
def test_12_the_drift_across_players_has_the_other_players_rate():
    r"""Backward error analysis of a simultaneous step, w' = w - H xi with one rate for each player in H.

    To second order it follows the flow of H xi + H J H xi / 2: in the equation of player i, divided by its rate, the
    gradient of player j stands with h_j / 2. With its own rate h_i / 2 there, an order is lost unless the rates agree.
    """
    batch = cases.gan_batch()

    def drift(w, h, inner):
        z = w.clone().requires_grad_()
        xi = tanh_gan_field(z, batch)
        # J u, from the derivative of v -> J^T v
        v = torch.zeros_like(w).requires_grad_()
        (pulled,) = torch.autograd.grad(xi, z, v, create_graph=True)
        xi = xi.detach()
        parts = []
        for part in (G, D):
            u = inner(part) * xi
            parts.append(torch.autograd.grad(pulled, v, u, retain_graph=True)[0][part])
        return h * (xi + 0.5 * torch.cat(parts))

    def order(ratio, own_rate):
        errors = []
        for scale in (1.0, 0.5):
            rates = {"generator": 0.05 * scale, "discriminator": 0.05 * ratio * scale}
            h = torch.tensor([rates["generator"]] * 17 + [rates["discriminator"]] * 13, dtype=F64)
            game = cases.tanh_gan()
            w = game.vector()
            make("simultaneous", game, lr=rates).step(batch)
            inner = (lambda part, h=h: h[part][0]) if own_rate else (lambda part, h=h: h)
            errors.append((game.vector() - flowed(w, lambda z, h=h, i=inner: drift(z, h, i))).norm())
        return torch.log2(errors[0] / errors[1]).item()

    assert abs(order(4.0, own_rate=False) - 3) < 0.2
    assert abs(order(4.0, own_rate=True) - 2) < 0.2
    assert abs(order(1.0, own_rate=True) - 3) < 0.2  # where they coincide


def test_12_rows_are_scaled_by_their_own_players_rate():
    """The step itself, on the other hand: U = I - H J, not I - J H."""
    game, batch = cases.tanh_gan(), cases.gan_batch()
    h = torch.diag(torch.tensor([0.05] * 17 + [0.2] * 13, dtype=F64))
    j, eye = rows_of_the_jacobian(game.vector(), batch, once_a_tensor=False), torch.eye(30, dtype=F64)
    optimizer = make("simultaneous", game, lr={"generator": 0.05, "discriminator": 0.2})
    found = eye - update_operator(optimizer, batch).dense()
    assert relative(found, h @ j) < 1e-12
    assert relative(found, j @ h) > 0.1


def test_13_minibatch_consensus_is_unbiased_over_independent_halves():
    """All batches of two from a population of five, each as likely: expectations are exact sums."""
    rows = torch.randn(5, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
    w, gamma = torch.tensor([1.0, -0.6], dtype=F64), 0.7

    def fields(z):
        return rows * (rows @ z)[:, None]  # of each sample, (5, 2)

    def objective(z):
        return 0.5 * fields(z).mean(0).square().sum()

    def half_trace(z):
        """Half the trace of the covariance of the mean field of a batch of two."""
        return 0.5 * (fields(z) - fields(z).mean(0)).square().sum(1).mean() / 2

    mean_field, (exact, bias) = (
        fields(w).mean(0),
        (torch.autograd.functional.jacobian(function, w) for function in (objective, half_trace)),
    )
    found = {}
    for estimator in ("same", "independent"):
        game = gt.minimization(cases.Point(w), lambda m, a: 0.5 * (a @ m.value).square().mean())
        optimizer = Consensus(game, lr=1.0, gamma=gamma, estimator=estimator)
        state = optimizer.init(w)
        moves = [w - optimizer.update(w, state, rows[[i, j]])[0] for i in range(5) for j in range(5)]
        found[estimator] = (torch.stack(moves).mean(0) - mean_field) / gamma
    assert relative(found["independent"], exact) < 1e-13
    assert relative(found["same"], exact + bias) < 1e-13
    assert relative(found["same"], exact) > 0.1
