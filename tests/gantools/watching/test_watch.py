"""Looks at training loops that are not gantools' own: right numbers, and nothing of the loop moved."""

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import gantools as gt
from gantools.errors import GantoolsError, GantoolsWarning
from tests.game_oracles import finite_jacobian, match_distance, relative
from tests.gantools.watching.loops import Loop, bce, everything, same

OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01}),
    "adam": (torch.optim.Adam, {"lr": 0.01, "betas": (0.5, 0.9)}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "betas": (0.0, 0.9), "weight_decay": 0.1}),
}


def stepped(loop, steps=3):
    for _ in range(steps):
        loop.step(loop.batch())
    return loop


def dense_radius(loop, batch):
    """The spectral radius of one step of a float64 loop, from its dense Jacobian by differences; the loop moves."""
    tensors = [p for module in loop.players.values() for p in module.parameters()]
    memory = [
        (o, p, key)
        for o in loop.optimizers.values()
        for p in (p for group in o.param_groups for p in group["params"])
        for key, x in o.state[p].items()
        if isinstance(x, torch.Tensor) and x.shape == p.shape
    ]
    start = {id(x): x.detach().clone() for x in [*tensors, *(o.state[p][key] for o, p, key in memory)]}
    live = [*tensors, *(o.state[p][key] for o, p, key in memory)]
    counts = [(o.state[p], float(o.state[p]["step"])) for o, p, key in memory if "step" in o.state[p]]

    def step(z):
        with torch.no_grad():
            for x, piece in zip(live, z.split([x.numel() for x in live]), strict=True):
                x.copy_(piece.view_as(x))
        for state, count in counts:
            state["step"].fill_(count)
        loop.step(batch)
        return torch.cat([x.detach().reshape(-1) for x in live])

    z = torch.cat([start[id(x)].reshape(-1) for x in live])
    U = finite_jacobian(step, z, 1e-3 * z.abs().clamp(min=1e-7))
    return np.abs(np.linalg.eigvals(U.numpy())).max()


class TestSpectralRadius:
    @pytest.mark.parametrize(
        "name", ["sgd", *(pytest.param(name, marks=pytest.mark.slow) for name in ("adam", "rmsprop", "adamw"))]
    )
    def test_is_that_of_one_full_step_of_the_loop(self, name):
        make, settings = OPTIMIZERS[name]
        loop = stepped(Loop(torch.float64, make, **settings))
        batch = loop.batch()
        options = {"optimizers": loop.optimizers, "every": 1, "budget": None, "tol": 1e-8, "max_matvecs": 5000}
        look = gt.watch(loop.players, loop.losses, **options)(0, batch)
        own = gt.watch(loop.players, update=loop.step, **options)(0, batch)
        expected = dense_radius(loop, batch)
        assert look.spectral_radius == pytest.approx(expected, rel=1e-6)
        assert own.spectral_radius == pytest.approx(expected, rel=1e-5)
        assert own.difference_error < 1e-4

    @pytest.mark.slow
    def test_by_differences_of_a_float32_loop(self):
        loop = stepped(Loop())
        batch = loop.batch()
        options = {"optimizers": loop.optimizers, "every": 1, "budget": None, "tol": 1e-6, "max_matvecs": 5000}
        wide = Loop(torch.float64)
        for module in wide.players:
            wide.players[module].load_state_dict(loop.players[module].state_dict())
            wide.optimizers[module].load_state_dict(loop.optimizers[module].state_dict())
        own = gt.watch(loop.players, update=loop.step, **options)(0, batch)
        assert own.spectral_radius == pytest.approx(dense_radius(wide, batch.double()), rel=1e-4)

    def test_of_a_step_with_clipping_and_a_term_added_to_gradients(self):
        loop = stepped(Loop(torch.float64, torch.optim.SGD, lr=0.3))
        plain = loop.step

        def step(batch):
            for player, optimizer in loop.optimizers.items():
                optimizer.zero_grad()
                loop.losses(None, batch)[player].backward()
                for p in loop.players[player].parameters():
                    p.grad += 0.2 * p.detach()
                nn.utils.clip_grad_norm_(loop.players[player].parameters(), 0.1)
                optimizer.step()

        batch = loop.batch()
        options = {"optimizers": loop.optimizers, "every": 1, "budget": None, "tol": 1e-8, "max_matvecs": 5000}
        own = gt.watch(loop.players, update=step, **options)(0, batch)
        loop.step = step
        expected = dense_radius(loop, batch)
        assert own.spectral_radius == pytest.approx(expected, rel=1e-5)
        loop.step = plain
        assert abs(dense_radius(loop, batch) - expected) > 1e-3

    @pytest.mark.slow
    def test_five_steps_of_the_critic_are_read_from_the_counts(self):
        loop = Loop(torch.float64)
        batch = loop.batch()

        def step(batch):
            for player in "DDDDDG":
                loop.optimizers[player].zero_grad()
                loop.losses(None, batch)[player].backward()
                loop.optimizers[player].step()

        loop.step = step
        stepped(loop)
        options = {"optimizers": loop.optimizers, "every": 1, "budget": None, "tol": 1e-8, "max_matvecs": 5000}
        look = gt.watch(loop.players, loop.losses, **options)(0, batch)
        assert look.turns == {"D": 5, "G": 1}
        other = gt.watch(loop.players, loop.losses, turns={"G": 1, "D": 5}, **options)(0, batch)
        assert other.spectral_radius == pytest.approx(look.spectral_radius, rel=2e-2)  # the same cycle, begun elsewhere
        assert look.spectral_radius == pytest.approx(dense_radius(loop, batch), rel=1e-6)


class TestTheLoopIsLeftAlone:
    @pytest.mark.slow
    def test_to_the_last_bit_over_50_steps(self):
        ends = []
        for watched in (False, True):
            loop = Loop(dropout=0.5)
            watch = gt.watch(loop.players, loop.losses, optimizers=loop.optimizers, every=10, budget=None)
            steps = gt.watch(loop.players, update=loop.step, optimizers=loop.optimizers, every=25, budget=None)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for step in range(1, 51):
                    batch = loop.batch()
                    loop.step(batch)
                    if watched:
                        before = everything(loop.players.values(), loop.optimizers.values())
                        watch(step, batch)
                        steps(step, batch)
                        assert same(before, everything(loop.players.values(), loop.optimizers.values()))
            ends.append(everything(loop.players.values(), loop.optimizers.values()))
            assert watch.clock.looks == (5 if watched else 0)
        assert same(*ends)

    def test_losses_that_draw_numbers_and_move_a_pool_leave_neither_moved(self):
        loop, pool, rng = stepped(Loop()), [], np.random.default_rng(0)

        def losses(players, real):
            fake = loop.G(torch.randn(16, 2) + float(rng.normal()) + torch.rand(16, 2))
            pool.append(fake.detach())
            old = pool[len(pool) // 2]
            scores = loop.D(fake)
            return {"G": bce(scores, torch.ones_like(scores)), "D": loop.discriminator_loss(real, old)}

        pool.extend(torch.randn(16, 2) for _ in range(3))
        state, kept = rng.bit_generator.state, list(pool)
        before = everything(loop.players.values(), loop.optimizers.values())
        look = gt.watch(loop.players, losses, optimizers=loop.optimizers, every=1)(0, loop.batch()[0])
        assert set(look.spectra) == {"game/jacobian", "game/update"} and not look.notes
        assert same(before, everything(loop.players.values(), loop.optimizers.values()))
        assert rng.bit_generator.state == state and all(a is b for a, b in zip(pool, kept, strict=True))

    def test_an_iterator_is_not_advanced_but_refused(self):
        loop = stepped(Loop())
        data = (loop.batch() for _ in range(3))
        watch = gt.watch(loop.players, lambda p, b: loop.losses(p, next(data)), optimizers=loop.optimizers, every=1)
        with pytest.raises(GantoolsError, match="iterator.*generator.*watch\\(step, batch\\)"):
            watch(0, loop.batch())
        assert len(list(data)) == 3

    def test_what_is_reached_past_the_copies_is_put_back_and_named(self):
        loop = stepped(Loop())

        class Data(torch.utils.data.Dataset):  # shared with a look
            step = None

        data = Data()
        data.step = loop.step
        before = everything(loop.players.values(), loop.optimizers.values())
        watch = gt.watch(loop.players, update=lambda batch: data.step(batch), optimizers=loop.optimizers, every=1)
        with pytest.raises(GantoolsError, match="cannot copy.*put back"):
            watch(0, loop.batch())
        after = everything(loop.players.values(), loop.optimizers.values())
        numbers = [(a, b) for a, b in zip(before, after, strict=True) if isinstance(a, torch.Tensor)]
        assert [torch.equal(a, b) for a, b in numbers] == [True] * len(numbers)


HIDDEN = {}


class TestWhatMoves:
    def test_is_what_the_optimizers_hold_whatever_requires_grad_says(self):
        loop = stepped(Loop(torch.float64))
        batch = loop.batch()
        options = {"optimizers": loop.optimizers, "every": 1, "budget": None}
        free = gt.watch(loop.players, loop.losses, **options)(0, batch)
        loop.D.requires_grad_(False)
        look = gt.watch(loop.players, loop.losses, **options)(0, batch)
        assert not any(p.requires_grad for p in loop.D.parameters())
        assert relative(look.spectra["game/jacobian"].values, free.spectra["game/jacobian"].values) < 1e-12

    @pytest.mark.parametrize("name", ["sgd", "adam"])
    def test_layers_frozen_from_the_start_do_not_although_the_optimizer_holds_them(self, name):
        make, settings = {**OPTIMIZERS, "sgd": (torch.optim.SGD, {"lr": 0.1})}[name]
        loop = Loop(torch.float64, make, **settings)
        loop.D[0].requires_grad_(False)
        stepped(loop)
        batch = loop.batch()
        options = {"optimizers": loop.optimizers, "every": 1, "budget": None}
        with pytest.warns(UserWarning, match="Frozen in D, and so constants of the look: 2 of its"):
            look = gt.watch(loop.players, loop.losses, **options)(0, batch)
        moving = [p for module in loop.players.values() for p in module.parameters() if p.requires_grad]
        assert look.spectra["game/jacobian"].n == sum(p.numel() for p in moving) and len(look.notes) == 1

        def field(w):
            torch.nn.utils.vector_to_parameters(w, moving)
            losses, count = loop.losses(None, batch), len(list(loop.G.parameters()))
            by_player = [torch.autograd.grad(losses["G"], moving[:count], retain_graph=True)]
            by_player.append(torch.autograd.grad(losses["D"], moving[count:]))
            return torch.cat([g.reshape(-1) for gradients in by_player for g in gradients])

        J = finite_jacobian(field, torch.nn.utils.parameters_to_vector(moving).detach())
        expected = np.linalg.eigvals(J.numpy())
        assert match_distance(look.spectra["game/jacobian"].values.numpy(), expected) < 1e-7 * abs(expected).max()

    def test_a_player_switched_off_as_a_whole_moves_all_the_same(self):
        loop = stepped(Loop(torch.float64, torch.optim.SGD, lr=0.1))
        one = torch.optim.SGD([*loop.G.parameters(), *loop.D.parameters()], lr=0.1)
        one.zero_grad()
        loop.D.requires_grad_(False)
        look = gt.watch(loop.players, loop.losses, optimizers=one, every=1)(0, loop.batch())
        assert look.spectra["game/jacobian"].n == sum(p.numel() for m in (loop.G, loop.D) for p in m.parameters())

    def test_parameters_in_no_optimizer_are_constants(self):
        loop = Loop()
        optimizer = torch.optim.SGD([*loop.G[2].parameters(), *loop.D.parameters()], lr=0.1)
        look = gt.watch(loop.players, loop.losses, optimizers=optimizer, every=1)(0, loop.batch())
        assert look.spectra["game/jacobian"].n == sum(
            p.numel() for p in [*loop.G[2].parameters(), *loop.D.parameters()]
        )

    def test_one_optimizer_for_two_players(self):
        loop = Loop(torch.float64)
        optimizer = torch.optim.SGD([*loop.G.parameters(), *loop.D.parameters()], lr=0.1)
        batch = loop.batch()
        look = gt.watch(loop.players, loop.losses, optimizers=optimizer, every=1, k=60)(0, batch)
        J = look.spectra["game/jacobian"].values
        assert look.spectral_radius == pytest.approx(float((1 - 0.1 * J).abs().max()), rel=1e-6)

    def test_one_parameter_in_two_optimizers_needs_the_step_itself(self):
        loop = Loop(torch.float64, torch.optim.SGD, lr=0.1)
        optimizers = {**loop.optimizers, "again": torch.optim.SGD(loop.G.parameters(), lr=0.2)}
        batch = loop.batch()
        with pytest.warns(UserWarning, match="both.*update=step"):
            look = gt.watch(loop.players, loop.losses, optimizers=optimizers, every=1)(0, batch)
        assert set(look.spectra) == {"game/jacobian"} and look.spectral_radius is None

        def step(batch):
            loop.step(batch)
            optimizers["again"].step()

        own = gt.watch(loop.players, update=step, optimizers=optimizers, every=1, tol=1e-8)(0, batch)
        loop.step, plain = step, loop.step
        holder, step.__defaults__ = plain, None
        assert own.difference_error < 1e-4 and holder is plain

    def test_dropout_alone_is_off_and_that_is_said_once(self):
        loop = Loop(dropout=0.5)
        loop.G.insert(1, nn.BatchNorm1d(4))
        loop.optimizers["G"] = torch.optim.SGD(loop.G.parameters(), lr=0.1)
        watch = gt.watch(loop.players, loop.losses, optimizers=loop.optimizers, every=1, budget=None)
        with pytest.warns(UserWarning, match="Dropout of D is switched off"):
            watch(0, loop.batch())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert not watch(1, loop.batch()).notes
        assert loop.D.training and loop.D[2].training and loop.G[1].num_batches_tracked == 0


class TestLog:
    def test_has_spectra_index_radius_verdict_and_metrics(self, tmp_path):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        loop = stepped(Loop())
        watch = gt.watch(
            loop.players, loop.losses, optimizers=loop.optimizers, log=tmp_path, every=2, budget=None,
            metrics=lambda players: {"modes": 8, "lost": float("nan")},
        )  # fmt: skip
        assert watch(1, loop.batch()) is None
        look = watch(2, loop.batch())
        watch.writer.close()
        log = EventAccumulator(str(tmp_path)).Reload()
        tags = log.Tags()
        assert log.Scalars("game/update/spectral_radius")[0].value == pytest.approx(look.spectral_radius, rel=1e-6)
        assert log.Scalars("metrics/modes")[0].value == 8 and "metrics/lost" not in tags["scalars"]
        assert {"game/jacobian", "game/update", "game/index"} <= set(tags["images"])
        assert any("verdict" in tag for tag in tags["tensors"])
        assert "Your step" in str(look) and "modes 8" in str(look)
        assert json.dumps(look.metrics)

    def test_of_a_large_game_has_both_ends_and_starts_from_the_last_look(self):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 8)).double()
        x = torch.randn(32, 8, dtype=torch.float64)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        watch = gt.watch(
            {"model": net}, lambda p, x: {"model": (net(x) - x.flip(1)).square().mean()}, optimizers=optimizer,
            every=1, budget=None, k=4, max_matvecs=400, tol=1e-4,
        )  # fmt: skip
        first, second = watch(0, x), watch(1, x)
        H = torch.linalg.eigvalsh(gt.analysis.hessian(net, lambda m, x: (m(x) - x.flip(1)).square().mean(), x).dense())
        for look in (first, second):
            assert torch.allclose(look.spectra["game/jacobian/LM"].values[:2], H.flip(0)[:2], rtol=1e-3)
            assert look.spectral_radius == pytest.approx(float((1 - 0.1 * H).abs().max()), rel=1e-3)
        assert set(first.spectra) == {"game/jacobian/LM", "game/jacobian/SA", "game/update"}
        assert second.spectra["game/jacobian/LM"].matvecs < first.spectra["game/jacobian/LM"].matvecs


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"every": 0}, "every"),
            ({"budget": 2.0}, "budget"),
            ({"losses": None}, "nothing to look at"),
            ({"optimizers": {"G": 3}}, "int"),
            ({"losses": None, "update": print}, "needs the optimizers"),
        ],
    )
    def test_are_sentences(self, arguments, words):
        loop = Loop()
        with pytest.raises(GantoolsError, match=words):
            gt.watch(loop.players, **{"losses": loop.losses, **arguments})

    def test_a_first_look_that_sees_nothing_raises_and_later_ones_warn(self):
        loop = stepped(Loop())
        watch = gt.watch(loop.players, lambda p, b: {"G": b}, optimizers=loop.optimizers, every=1, budget=None)
        with pytest.raises(GantoolsError, match="returned the keys"):
            watch(0, loop.batch())
        watch = gt.watch(loop.players, loop.losses, optimizers=loop.optimizers, every=1, budget=None)
        watch(0, loop.batch())
        with pytest.warns(UserWarning, match="was not looked at"):
            assert not watch(1, "no batch").spectra


def test_a_step_that_begins_anew_with_each_epoch_is_told():
    loop = stepped(Loop())
    watch = gt.watch(loop.players, loop.losses, optimizers=loop.optimizers, every=1000)
    batch = loop.batch()
    assert watch(7, batch) is None and watch(8, batch) is None
    with pytest.warns(GantoolsWarning, match="went back from 8 to 1"):
        watch(1, batch)
    assert watch(2, batch) is None and watch(1, batch) is None  # said once; warnings are errors in these tests
