"""Watchers under Lightning and Accelerate, where these are installed."""

import warnings

import pytest
import torch
from torch import nn

from gantools.watching.callbacks import accelerate_watch, lightning_callback
from tests.gantools.watching.loops import Loop, bce

BATCHES = torch.randn(6, 2, 8, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.filterwarnings("ignore")
def test_lightning(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.G, self.D = nn.Linear(2, 2), nn.Linear(2, 1)
            self.automatic_optimization = False

        def losses(self, batch):
            real, z = batch[0]
            scores, fake, true = self.D(self.G(z)), self.D(self.G(z).detach()), self.D(real)
            down = bce(true, torch.ones_like(true)) + bce(fake, torch.zeros_like(fake))
            return {"G": bce(scores, torch.ones_like(scores)), "D": down}

        def training_step(self, batch, batch_idx):
            for player, optimizer in zip(("D", "G"), self.optimizers(), strict=True):
                optimizer.zero_grad()
                self.manual_backward(self.losses(batch)[player])
                optimizer.step()

        def configure_optimizers(self):
            return [torch.optim.Adam(m.parameters(), 0.01) for m in (self.D, self.G)]

        def train_dataloader(self):
            return torch.utils.data.DataLoader(BATCHES, batch_size=1)

    def fitted(*callbacks):
        module = Module()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lightning.Trainer(
                max_epochs=1, callbacks=list(callbacks), logger=False, enable_checkpointing=False, accelerator="cpu",
                enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
            ).fit(module)  # fmt: skip
        return torch.cat([p.detach().reshape(-1) for p in module.parameters()])

    callback = lightning_callback(["D", "G"], lambda module, batch: module.losses(batch), every=2, budget=None)
    assert torch.equal(fitted(callback), fitted())
    assert callback.watch.clock.looks == 3 and callback.watch.last.turns == {"0": 1, "1": 1}
    assert 0.5 < callback.watch.last.spectral_radius < 2 and not callback.watch.last.notes


def test_accelerate(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    loop = Loop()
    D, G, opt_d, opt_g = accelerator.prepare(loop.D, loop.G, loop.optimizers["D"], loop.optimizers["G"])

    def losses(players, batch):
        real, fake = players["D"](batch[0]), players["D"](players["G"](batch[1]))
        down = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
        return {"D": down, "G": bce(fake, torch.ones_like(fake))}

    watch = accelerate_watch(accelerator, {"D": D, "G": G}, losses, [opt_d, opt_g], every=1, budget=None)
    for step in range(2):
        batch = loop.batch()
        for player, optimizer in (("D", opt_d), ("G", opt_g)):
            optimizer.zero_grad()
            accelerator.backward(losses({"D": D, "G": G}, batch)[player])
            optimizer.step()
        look = watch(step, batch)
    assert set(look.spectra) == {"game/jacobian", "game/update"} and not look.notes and look.turns == {"0": 1, "1": 1}
