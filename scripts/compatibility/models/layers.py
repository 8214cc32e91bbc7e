"""Transformers and quantisers built on einops, equivariant nets, tables: packages of single ideas."""

import torch
import x_transformers as xt
from conformer import ConformerBlock
from e3nn import o3
from e3nn.nn import BatchNorm, FullyConnectedNet, Gate
from egnn_pytorch import EGNN
from entmax import entmax15, sparsemax
from linformer import Linformer
from performer_pytorch import Performer
from pytorch_tabnet.tab_network import TabNet
from siren_pytorch import SirenNet
from torch import nn
from torch.nn import functional as F
from vector_quantize_pytorch import FSQ, LFQ, ResidualVQ, SimVQ, VectorQuantize
from vit_pytorch import SimpleViT, ViT
from vit_pytorch.cct import CCT
from vit_pytorch.cvt import CvT
from vit_pytorch.nest import NesT

from compatibility.entries import classify, model, on_output, scalar


def tokens():
    ids = torch.randint(9, (2, 6))
    return ids


def decoder(**options):
    layers = xt.Decoder(dim=8, depth=1, heads=2, attn_dim_head=4, ff_mult=2, **options)
    net = xt.AutoregressiveWrapper(xt.TransformerWrapper(num_tokens=9, max_seq_len=6, attn_layers=layers))
    return net, lambda net, ids: net(ids), tokens()


@model("x-transformers")
def x_decoder():
    return decoder()


@model("x-transformers")
def x_decoder_with_flash_attention():
    return decoder(attn_flash=True)


@model("x-transformers")
def x_decoder_rotary_swiglu_rmsnorm():
    return decoder(rotary_pos_emb=True, rotary_emb_dim=4, ff_glu=True, ff_swish=True, use_rmsnorm=True)


@model("x-transformers")
def x_decoder_alibi_qk_norm():
    return decoder(alibi_pos_bias=True, attn_qk_norm=True)


@model("x-transformers")
def x_decoder_hyper_connections():
    return decoder(num_residual_streams=2)


@model("x-transformers")
def x_encoder():
    net = xt.TransformerWrapper(
        num_tokens=9, max_seq_len=6, attn_layers=xt.Encoder(dim=8, depth=1, heads=2, attn_dim_head=4)
    )
    return net, on_output, tokens()


@model("x-transformers")
def x_vit():
    net = xt.ViTransformerWrapper(
        image_size=8, patch_size=4, num_classes=3, attn_layers=xt.Encoder(dim=8, depth=1, heads=2, attn_dim_head=4)
    )
    return net, classify, (torch.randn(2, 3, 8, 8), torch.tensor([0, 2]))


def pictures(size=8):
    return torch.randn(2, 3, size, size), torch.tensor([0, 2])


SMALL = {
    "image_size": 8,
    "patch_size": 4,
    "num_classes": 3,
    "dim": 8,
    "depth": 1,
    "heads": 2,
    "mlp_dim": 12,
    "dim_head": 4,
}


@model("vit-pytorch")
def vit_of_lucidrains():
    return ViT(**SMALL), classify, pictures()


@model("vit-pytorch")
def simple_vit():
    return SimpleViT(**SMALL), classify, pictures()


@model("vit-pytorch")
def compact_convolutional_transformer():
    net = CCT(
        img_size=8,
        embedding_dim=8,
        n_conv_layers=1,
        num_layers=1,
        num_heads=2,
        mlp_ratio=2,
        num_classes=3,
        kernel_size=3,
    )
    return net, classify, pictures()


@model("vit-pytorch")
def convolutional_vit():
    options = {"emb_dim": 4, "heads": 1, "depth": 1, "mlp_mult": 2, "kv_proj_stride": 1}
    stage = {f"s{k}_{key}": value for k in (1, 2, 3) for key, value in options.items()}
    net = CvT(num_classes=3, **stage)
    net.requires_grad_(False)
    net.layers[0].requires_grad_(True)
    return net, classify, pictures(16)


@model("vit-pytorch")
def nested_transformer():
    return (
        NesT(image_size=8, patch_size=2, dim=4, heads=1, num_hierarchies=2, block_repeats=(1, 1), num_classes=3),
        classify,
        pictures(),
    )


# Quantisers ---------------------------------------------------------------------------------------------------------


class Quantised(nn.Module):
    def __init__(self, quantiser, width=4):
        super().__init__()
        self.encode, self.quantise, self.decode = nn.Linear(3, width), quantiser, nn.Linear(width, 3)

    def forward(self, x):
        z, *rest = self.quantise(self.encode(x))
        loss = rest[-1] if rest and isinstance(rest[-1], torch.Tensor) and rest[-1].is_floating_point() else 0.0
        return F.mse_loss(self.decode(z), x) + (loss.sum() if isinstance(loss, torch.Tensor) else loss)


def quantised(quantiser, width=4):
    return Quantised(quantiser, width), lambda net, x: net(x), torch.randn(2, 5, 3)


@model("vector-quantize-pytorch")
def vector_quantisation():
    return quantised(VectorQuantize(dim=4, codebook_size=6))


@model("vector-quantize-pytorch", train=True)
def vector_quantisation_with_learned_codes():
    return quantised(VectorQuantize(dim=4, codebook_size=6, learnable_codebook=True, ema_update=False))


@model("vector-quantize-pytorch", train=True)
def vector_quantisation_with_rotation_trick():
    return quantised(
        VectorQuantize(dim=4, codebook_size=6, rotation_trick=True, learnable_codebook=True, ema_update=False)
    )


@model("vector-quantize-pytorch")
def residual_quantisation():
    return quantised(ResidualVQ(dim=4, num_quantizers=2, codebook_size=6))


@model("vector-quantize-pytorch")
def finite_scalar_quantisation():
    return quantised(FSQ([5, 5, 4]), 3)


@model("vector-quantize-pytorch")
def lookup_free_quantisation():
    return quantised(LFQ(dim=4, codebook_size=16))


@model("vector-quantize-pytorch", train=True)
def sim_vq():
    return quantised(SimVQ(dim=4, codebook_size=6))


# Equivariant --------------------------------------------------------------------------------------------------------


class Convolution(nn.Module):
    """A tensor product with spherical harmonics, its weights from the distance."""

    def __init__(self):
        super().__init__()
        self.product = o3.FullyConnectedTensorProduct("2x0e+1x1o", "1x0e+1x1o", "2x0e+1x1o", shared_weights=False)
        self.weights = FullyConnectedNet([3, 4, self.product.weight_numel], torch.nn.functional.silu)
        self.mix = o3.Linear("2x0e+1x1o", "2x0e+1x1o")

    def forward(self, features, vectors):
        sh = o3.spherical_harmonics([0, 1], vectors, normalize=True, normalization="component")
        length = vectors.norm(dim=1, keepdim=True)
        basis = torch.cat([length, length.square(), (-length).exp()], 1)
        return self.mix(self.product(features, sh, self.weights(basis)))


@model("e3nn", tolerance=1e-4)
def e3nn_convolution():
    return Convolution(), on_output, (torch.randn(5, 5), torch.randn(5, 3))


@model("e3nn", tolerance=1e-4)
def e3nn_gate():
    gate = Gate("2x0e", [torch.tanh], "1x0e", [torch.sigmoid], "1x1o")
    net = nn.Sequential(o3.Linear("3x0e+1x1o", gate.irreps_in), gate, o3.Linear(gate.irreps_out, "1x0e+1x1o"))
    return net, on_output, torch.randn(4, 6)


@model("e3nn", train=True)
def e3nn_batch_norm():
    net = nn.Sequential(o3.Linear("3x0e+1x1o", "2x0e+1x1o"), BatchNorm("2x0e+1x1o"))
    return net, on_output, torch.randn(4, 6)


@model("egnn-pytorch")
def egnn():
    return EGNN(dim=4, m_dim=4), on_output, (torch.randn(1, 5, 4), torch.randn(1, 5, 3))


# Others -------------------------------------------------------------------------------------------------------------


@model("conformer")
def conformer_block():
    return (
        ConformerBlock(dim=8, dim_head=4, heads=2, ff_mult=2, conv_expansion_factor=2, conv_kernel_size=3),
        on_output,
        torch.randn(2, 5, 8),
    )


@model("linformer")
def linformer():
    return Linformer(dim=8, seq_len=6, depth=1, heads=2, k=3), on_output, torch.randn(2, 6, 8)


@model("performer-pytorch")
def performer():
    return Performer(dim=8, depth=1, heads=2, dim_head=4, nb_features=6, ff_mult=2), on_output, torch.randn(2, 6, 8)


@model("siren-pytorch")
def siren():
    return SirenNet(2, 6, 1, 2, w0_initial=3.0), on_output, torch.randn(6, 2)


def tabnet_of(dtype):
    """Return TabNet with its matrix of groups, which is no buffer, in this precision."""
    net = TabNet(4, 3, n_d=4, n_a=4, n_steps=2, group_attention_matrix=torch.eye(4, dtype=dtype))
    batch = (torch.randn(6, 4), torch.tensor([0, 1, 2, 1, 0, 2]))
    return net, lambda net, b: F.cross_entropy(net(b[0])[0], b[1]) - 1e-3 * net(b[0])[1], batch


@model("pytorch-tabnet", reference=lambda: tabnet_of(torch.float64))
def tabnet():
    return tabnet_of(torch.float32)


@model("pytorch-tabnet", train=True, reference=lambda: tabnet_of(torch.float64))
def tabnet_in_train_mode():
    return tabnet_of(torch.float32)


class SparseAttention(nn.Module):
    def __init__(self, weigh):
        super().__init__()
        self.q, self.k, self.weigh = nn.Linear(4, 4), nn.Linear(4, 4), weigh

    def forward(self, x):
        return self.weigh(self.q(x) @ self.k(x).mT, dim=-1) @ x


@model("entmax")
def sparsemax_attention():
    return SparseAttention(sparsemax), lambda net, x: scalar(net(x)), torch.randn(2, 5, 4)


@model("entmax")
def entmax_attention():
    return SparseAttention(entmax15), lambda net, x: scalar(net(x)), torch.randn(2, 5, 4)
