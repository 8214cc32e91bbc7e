"""Looks at loops under Lightning (manual optimisation) and Accelerate."""

from collections.abc import Mapping, Sequence
from typing import Any

from gantools.errors import MissingDependencyError
from gantools.watching.watch import Watch, watch


def lightning_callback(players: Sequence[str], losses: Any, **options: Any) -> Any:
    """Return a callback for Lightning's `Trainer(callbacks=[...])` that watches a module with manual optimisation.

    Args:
        players: names of the module's attributes that are the players.
        losses: `losses(module, batch)` returns each player's loss; its optimizers are found.
        options: those of `gantools.watch`.
    """
    try:
        from lightning.pytorch import Callback  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingDependencyError("Lightning is not installed: pip install lightning.") from None

    class WatchCallback(Callback):  # pyright: ignore[reportUntypedBaseClass]
        watch: Watch | None = None
        steps = 0

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if self.watch is None:
                nets = {name: getattr(pl_module, name) for name in players}
                given = {"optimizers": trainer.optimizers, "log": trainer.log_dir, **options}
                self.watch = watch(nets, lambda _, batch: losses(pl_module, batch), **given)
            if trainer.is_global_zero:
                self.watch(self.steps, batch)
            self.steps += 1

    return WatchCallback()


def accelerate_watch(
    accelerator: Any, players: Mapping[str, Any], losses: Any, optimizers: Sequence[Any], **options: Any
) -> Any:
    """Return a watcher, `watch(step, batch)`, of what Accelerate has prepared; it looks in the main process alone.

    Args:
        accelerator: an `accelerate.Accelerator`.
        players: prepared modules by name.
        losses: `losses(players, batch)`, which takes the modules from `players`: they are the unwrapped ones.
        optimizers: prepared ones.
        options: those of `gantools.watch`.
    """
    nets = {name: accelerator.unwrap_model(module) for name, module in players.items()}
    watcher = watch(nets, losses, optimizers=[o.optimizer for o in optimizers], **options)
    return watcher if accelerator.is_main_process else lambda step, *batches: None
