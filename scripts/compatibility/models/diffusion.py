"""Diffusion models: diffusers."""

import diffusers
import torch
from torch.nn import functional as F

from compatibility.entries import model, on_output, scalar


def denoise(net, batch):
    """The loss of a denoiser: the mean square error of the noise that it finds."""
    noisy, noise = batch["sample"], batch["noise"]
    rest = {key: value for key, value in batch.items() if key != "noise"}
    return F.mse_loss(net(**rest).sample, noise) + 0 * noisy.sum()


def noisy(channels=1, size=8):
    x = torch.randn(2, channels, size, size)
    return {"sample": x, "timestep": torch.tensor([3, 40]), "noise": torch.randn_like(x)}


BLOCKS = {"block_out_channels": (4, 4), "layers_per_block": 1, "norm_num_groups": 2}


@model("diffusers")
def ddpm_unet():
    net = diffusers.UNet2DModel(
        8, 1, 1, **BLOCKS, down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
        add_attention=False,
    )  # fmt: skip
    return net, denoise, noisy()


@model("diffusers")
def ddpm_unet_with_attention():
    net = diffusers.UNet2DModel(
        8, 1, 1, **BLOCKS, down_block_types=("AttnDownBlock2D",) * 2, up_block_types=("AttnUpBlock2D",) * 2,
        attention_head_dim=2,
    )  # fmt: skip
    return net, denoise, noisy()


@model("diffusers")
def ddpm_unet_checkpointed():
    net, loss, batch = ddpm_unet()
    net.enable_gradient_checkpointing()
    return net, loss, batch


@model("diffusers")
def stable_diffusion_unet():
    net = diffusers.UNet2DConditionModel(
        8, 2, 2, **BLOCKS, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=6, attention_head_dim=2,
    )  # fmt: skip
    net.requires_grad_(False)
    net.down_blocks[0].requires_grad_(True)
    return net, denoise, {**noisy(2), "encoder_hidden_states": torch.randn(2, 3, 6)}


@model("diffusers")
def dit():
    net = diffusers.DiTTransformer2DModel(
        2, 4, 2, num_layers=1, sample_size=4, patch_size=2, num_embeds_ada_norm=10, norm_num_groups=2
    )
    net.requires_grad_(False)
    net.transformer_blocks[0].ff.requires_grad_(True)
    net.transformer_blocks[0].attn1.requires_grad_(True)
    batch = {
        "hidden_states": torch.randn(2, 2, 4, 4), "timestep": torch.tensor([1, 5]), "class_labels": torch.tensor([0, 1])
    }  # fmt: skip
    return net, lambda net, b: scalar(net(**b).sample), batch


@model("diffusers")
def sana_linear_attention():
    from diffusers.models.attention_processor import Attention

    return Attention(8, heads=2, dim_head=4, bias=True), on_output, torch.randn(2, 5, 8)


@model("diffusers")
def vae_of_stable_diffusion():
    net = diffusers.AutoencoderKL(
        3, 3, block_out_channels=(4,), latent_channels=2, norm_num_groups=2, mid_block_add_attention=False
    )

    def loss(net, x):
        posterior = net.encode(x).latent_dist
        return F.mse_loss(net.decode(posterior.mode()).sample, x) + 1e-2 * posterior.kl().mean()

    return net, loss, torch.randn(2, 3, 8, 8)


@model("diffusers")
def vq_autoencoder():
    net = diffusers.VQModel(
        3,
        3,
        block_out_channels=(4,),
        latent_channels=2,
        norm_num_groups=2,
        num_vq_embeddings=6,
        mid_block_add_attention=False,
    )

    def loss(net, x):
        decoded = net(x, return_dict=False)
        return F.mse_loss(decoded[0], x) + decoded[1].mean()

    return net, loss, torch.randn(1, 3, 8, 8)
