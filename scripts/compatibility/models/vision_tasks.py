"""Segmentation, volumes and operations on images: segmentation_models_pytorch, monai, kornia."""

import kornia
import monai.losses
import monai.networks.nets as medical
import segmentation_models_pytorch as smp
import torch
from torch import nn
from torch.nn import functional as F

from compatibility.entries import model, on_output, scalar

# Segmentation -------------------------------------------------------------------------------------------------------


def masks(size=32):
    return torch.randn(2, 3, size, size), torch.randint(2, (2, size, size))


def small_encoder(depth=2, **options):
    return {
        "encoder_name": "timm-mobilenetv3_small_minimal_100",
        "encoder_weights": None,
        "encoder_depth": depth,
        **options,
    }


def frozen_encoder(net):
    """Only the decoder and the head move: the encoders of the package come in no tiny configuration."""
    net.encoder.requires_grad_(False)
    return net


@model("segmentation_models_pytorch", train=True)
def smp_unet():
    net = frozen_encoder(smp.Unet(**small_encoder(decoder_channels=(4, 4), classes=2)))
    return net, lambda net, b: smp.losses.DiceLoss("multiclass")(net(b[0]), b[1]), masks()


@model("segmentation_models_pytorch", train=True)
def smp_unet_plus_plus():
    net = frozen_encoder(smp.UnetPlusPlus(**small_encoder(decoder_channels=(4, 4), classes=2)))
    return net, lambda net, b: smp.losses.FocalLoss("multiclass")(net(b[0]), b[1]), masks()


# monai --------------------------------------------------------------------------------------------------------------


def volume(size=8):
    return torch.randn(1, 1, size, size, size), torch.randint(2, (1, 1, size, size, size))


def dice(net, batch):
    return monai.losses.DiceCELoss(to_onehot_y=True, softmax=True)(net(batch[0]), batch[1])


@model("monai")
def monai_unet():
    return medical.UNet(3, 1, 2, (2, 4), (2,), num_res_units=1), dice, volume()


@model("monai")
def monai_basic_unet():
    flat = (torch.randn(1, 1, 32, 32), torch.randint(2, (1, 1, 32, 32)))
    return medical.BasicUNet(2, 1, 2, (2, 2, 2, 2, 2, 2)), dice, flat


@model("monai")
def monai_seg_res_net():
    flat = (torch.randn(1, 1, 8, 8), torch.randint(2, (1, 1, 8, 8)))
    return medical.SegResNet(2, 8, 1, 2, blocks_down=(1, 1), blocks_up=(1,)), dice, flat


@model("monai")
def monai_attention_unet():
    net = medical.AttentionUnet(2, 1, 2, (2, 4), (2,))
    return net, dice, (torch.randn(1, 1, 8, 8), torch.randint(2, (1, 1, 8, 8)))


@model("monai")
def monai_dyn_unet():
    net = medical.DynUNet(2, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2], filters=[2, 2, 4])
    return net, dice, (torch.randn(2, 1, 8, 8), torch.randint(2, (2, 1, 8, 8)))


@model("monai")
def monai_unetr():
    net = medical.UNETR(1, 2, (16, 16), feature_size=2, hidden_size=8, mlp_dim=8, num_heads=2, spatial_dims=2)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    net.vit.blocks[0].requires_grad_(True)
    return net, dice, (torch.randn(1, 1, 16, 16), torch.randint(2, (1, 1, 16, 16)))


@model("monai")
def monai_auto_encoder():
    net = medical.VarAutoEncoder(2, (1, 8, 8), 1, 2, (2, 4), (2, 2), use_sigmoid=False)
    return net, lambda net, x: F.mse_loss(net.decode_forward(net.encode_forward(x)[1]), x), torch.randn(2, 1, 8, 8)


@model("monai")
def monai_regressor():
    return medical.Regressor((1, 8, 8), (2,), (2, 4), (2, 2), num_res_units=1), on_output, torch.randn(2, 1, 8, 8)


@model("monai")
def monai_local_normalized_cross_correlation():
    net = nn.Conv2d(1, 1, 3, padding=1)
    loss = monai.losses.LocalNormalizedCrossCorrelationLoss(2, kernel_size=3)
    return net, lambda net, b: loss(net(b[0]), b[1]), (torch.randn(1, 1, 8, 8), torch.randn(1, 1, 8, 8))


# kornia and others --------------------------------------------------------------------------------------------------


class Registration(nn.Module):
    """A rigid motion that carries one image to another."""

    def __init__(self):
        super().__init__()
        self.angle, self.shift = nn.Parameter(torch.tensor([10.0])), nn.Parameter(torch.tensor([[0.3, -0.2]]))

    def forward(self, x):
        return kornia.geometry.translate(kornia.geometry.rotate(x, self.angle), self.shift)


@model("kornia")
def kornia_registration():
    return Registration(), lambda net, b: F.mse_loss(net(b[0]), b[1]), (torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8))


@model("kornia")
def kornia_homography():
    net = nn.Linear(4, 8)

    def loss(net, x):
        H = torch.cat([net(x) * 0.1, torch.ones(len(x), 1).to(x)], 1).view(-1, 3, 3)
        points = torch.tensor([[0.1, 0.2], [0.5, 0.4], [0.3, 0.9]]).to(x).expand(len(x), 3, 2)
        return scalar(kornia.geometry.transform_points(H, points))

    return net, loss, torch.randn(3, 4)


@model("kornia")
def kornia_ssim_of_a_denoiser():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Tanh(), nn.Conv2d(2, 1, 3, padding=1))
    return (
        net,
        lambda net, b: kornia.losses.ssim_loss(net(b[0]), b[1], 5),
        (torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8)),
    )


@model("kornia")
def kornia_canny_edges_of_a_filter():
    net = nn.Conv2d(1, 1, 3, padding=1)
    return (
        net,
        lambda net, x: scalar(kornia.filters.sobel(kornia.filters.gaussian_blur2d(net(x), (3, 3), (1.0, 1.0)))),
        torch.rand(1, 1, 8, 8),
    )
