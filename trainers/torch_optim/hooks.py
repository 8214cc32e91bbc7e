"""Hooks on gradients and on optimizers' steps, which shape a training loop's step and are in no formula of it."""

from collections.abc import Mapping

from torch.optim import Optimizer, lr_scheduler
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from gantools.errors import GantoolsError
from gantools.games.plain_field import hooked, of_user


def require_no_hooks(optimizers: Mapping[str, Optimizer]) -> None:
    """Refuse optimizers whose step is shaped by more than their rule.

    Raises:
        GantoolsError: says which optimizer, and by what.
    """
    for name, one in optimizers.items():
        if (what := _shaped_by(one)) is not None:
            raise GantoolsError(
                f"The step of the optimizer {name!r} is shaped by {what}, which its rule in closed form leaves out: "
                "pass gantools.watch(update=step), a function that makes your step, which is looked at with its hooks."
            )


def _shaped_by(one: Optimizer) -> str | None:
    parameters = [p for group in one.param_groups for p in group["params"]]
    if hooked(parameters):
        return "hooks on its parameters' gradients (register_hook)"
    if any(of_user(getattr(p, "_post_accumulate_grad_hooks", None)) for p in parameters):
        return "hooks that run once a gradient is accumulated (register_post_accumulate_grad_hook)"
    before = [_global_optimizer_pre_hooks, one._optimizer_step_pre_hooks]
    after = [_global_optimizer_post_hooks, one._optimizer_step_post_hooks]
    if any(of_user(hooks) for hooks in before):
        return "a hook before its step (register_step_pre_hook)"
    if any(of_user(hooks) for hooks in after):
        return "a hook after its step (register_step_post_hook)"
    own = vars(one).get("step")  # a scheduler of rates has one to count the calls
    code = getattr(own, "__code__", None)
    if own is not None and (code is None or code.co_filename != lr_scheduler.__file__):
        return "a step method that was put in the place of its class's"
    return None
