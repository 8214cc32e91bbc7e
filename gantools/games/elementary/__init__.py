"""PyTorch functions from elementary operations, where the derivatives of the fused kernels are wrong or missing.

- *Wrong.* The fused batch, instance and layer norms save the mean and deviation without their history, so that
  everything from the third derivative on is wrong, without an error (pytorch issues 175754, 186256): the Jacobian of a
  game with a gradient penalty, the update operator of consensus. The fused weight norm is wrong from the second
  derivative on.
- *No second derivative.* Hard sigmoid, distances, embedding bags, multi-class margins.
- *No third derivative*, which products $J u$ by reverse differentiation take: transposed convolutions with an output
  padding.
- *No forward derivative of the gradient.* SiLU, Mish, group norm, Huber and soft-margin losses; `mse_loss`, which
  kills the process when it is traced (pytorch issues 112013, 123996).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from gantools.games.elementary import embeddings, functions, losses, straight_through


class ElementaryOperations(TorchFunctionMode):
    """Within this block, functions whose fused kernels cannot be differentiated rightly are made of elementary ones.

    Attributes:
        used: whether any of those was called whose derivatives a training step may need.
    """

    BY_BACKWARD: dict[Callable[..., Any], Callable[..., Any]] = {
        F.batch_norm: functions.batch_norm,
        F.instance_norm: functions.instance_norm,
        F.layer_norm: functions.layer_norm,
        torch._weight_norm: functions.weight_norm,
        F.hardsigmoid: functions.hardsigmoid,
        F.multi_margin_loss: losses.multi_margin_loss,
        F.multilabel_margin_loss: losses.multilabel_margin_loss,
        F.scaled_dot_product_attention: functions.by_plain_attention(F.scaled_dot_product_attention),
        F.multi_head_attention_forward: functions.by_plain_attention(F.multi_head_attention_forward),
        F.gumbel_softmax: straight_through.gumbel_softmax,
        torch.fake_quantize_per_tensor_affine: straight_through.fake_quantize_per_tensor_affine,
        F.embedding: embeddings.embedding,
        F.embedding_bag: embeddings.embedding_bag,
        torch.cdist: functions.cdist,
        F.conv_transpose1d: functions.conv_transpose(F.conv_transpose1d),
        F.conv_transpose2d: functions.conv_transpose(F.conv_transpose2d),
        F.conv_transpose3d: functions.conv_transpose(F.conv_transpose3d),
        F.pdist: functions.pdist,
    }
    BY_DUAL_NUMBERS: dict[Callable[..., Any], Callable[..., Any]] = {
        F.silu: functions.silu,
        F.mish: functions.mish,
        F.group_norm: functions.group_norm,
        F.mse_loss: losses.mse_loss,
        F.huber_loss: losses.huber_loss,
        F.soft_margin_loss: losses.soft_margin_loss,
    }

    def __init__(self) -> None:
        super().__init__()
        self.used = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        exact: Any = self.BY_BACKWARD.get(func)
        if exact is not None:
            self.used = True
        else:
            exact = self.BY_DUAL_NUMBERS.get(func, func)
        return exact(*args, **(kwargs or {}))
