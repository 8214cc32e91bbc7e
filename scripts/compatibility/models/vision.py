"""Networks of images: timm, torchvision."""

from functools import partial

import timm
import torch
import torchvision
from timm.models import mlp_mixer
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models._efficientnet_builder import decode_arch_def
from torch import nn
from torch.nn import functional as F

from compatibility.entries import classify, model


def images(size=16, count=2, channels=3):
    return torch.randn(count, channels, size, size), torch.arange(count) % 3


def of_timm(name, size=16, **options):
    return timm.create_model(name, pretrained=False, num_classes=3, **options), classify, images(size)


@model("timm")
def timm_vit():
    return of_timm("vit_tiny_patch16_224", img_size=16, patch_size=8, embed_dim=8, depth=1, num_heads=2)


@model("timm")
def timm_deit_distilled():
    return of_timm("deit_tiny_distilled_patch16_224", img_size=16, patch_size=8, embed_dim=8, depth=1, num_heads=2)


@model("timm")
def timm_beit():
    return of_timm("beit_base_patch16_224", img_size=16, patch_size=8, embed_dim=8, depth=1, num_heads=2)


@model("timm")
def timm_cait():
    return of_timm("cait_xxs24_224", img_size=16, patch_size=8, embed_dim=8, depth=1, num_heads=2, depth_token_only=1)


@model("timm")
def timm_xcit():
    return of_timm("xcit_nano_12_p16_224", img_size=32, size=32, embed_dim=8, depth=1, num_heads=2, cls_attn_layers=1)


def of_class(make, size=16, **options):
    return make(num_classes=3, **options), classify, images(size)


@model("timm")
def timm_mixer():
    return of_class(timm.models.MlpMixer, img_size=16, patch_size=8, embed_dim=8, num_blocks=1)


@model("timm")
def timm_gmlp():
    options = {"block_layer": mlp_mixer.SpatialGatingBlock, "mlp_layer": timm.layers.GatedMlp, "mlp_ratio": 2}
    return of_class(timm.models.MlpMixer, img_size=16, patch_size=8, embed_dim=8, num_blocks=1, **options)


@model("timm")
def timm_convnext():
    return of_class(timm.models.ConvNeXt, 32, depths=(1, 1, 1, 1), dims=(4, 4, 4, 4))


@model("timm")
def timm_convmixer():
    return of_class(timm.models.ConvMixer, dim=6, depth=2, kernel_size=3, patch_size=4)


@model("timm")
def timm_swin():
    return of_timm(
        "swin_tiny_patch4_window7_224",
        16,
        img_size=16,
        patch_size=2,
        window_size=2,
        embed_dim=4,
        depths=(1, 1),
        num_heads=(1, 2),
    )


@model("timm", nudge=0.02)
def timm_resnet():
    net = timm.models.ResNet(timm.models.resnet.BasicBlock, (1, 1, 1, 1), num_classes=3, stem_width=4, base_width=64)
    net.requires_grad_(False)
    net.layer1.requires_grad_(True)
    return net, classify, images(32)


@model("timm")
def timm_resnetv2():
    return of_timm("resnetv2_50", 32, layers=(1, 1), channels=(8, 8), stem_chs=4, bottle_ratio=0.5)


def built_of_blocks(make, blocks, **options):
    """Return a net of the family of EfficientNet from strings that name its blocks."""
    options = {"num_classes": 3, "stem_size": 4, "num_features": 8, **options}
    return make(decode_arch_def(blocks), **options), classify, images(32)


@model("timm")
def timm_mobilenet_v3():
    blocks = [["ds_r1_k3_s2_e1_c8_se0.25_nre"], ["ir_r1_k5_s1_e2_c8_se0.25"], ["cn_r1_k1_s1_c8"]]
    gate = partial(SqueezeExcite, gate_layer="hard_sigmoid")
    return built_of_blocks(timm.models.MobileNetV3, blocks, act_layer=nn.Hardswish, se_layer=gate)


@model("timm")
def timm_efficientnet():
    return built_of_blocks(
        timm.models.EfficientNet, [["ds_r1_k3_s1_e1_c4_se0.25"], ["ir_r1_k5_s2_e2_c8_se0.25"]], act_layer=nn.SiLU
    )


@model("timm", train=True)
def timm_efficientnet_in_train_mode():
    return timm_efficientnet()


@model("timm")
def timm_metaformer():
    return of_class(timm.models.metaformer.MetaFormer, 32, depths=(1, 1, 1, 1), dims=(4, 4, 4, 4))


@model("timm")
def timm_edgenext():
    return of_timm(
        "edgenext_xx_small", 32, dims=(8, 8, 8, 8), depths=(1, 1, 1, 1), heads=(2, 2, 2, 2), d2_scales=(2, 2, 2, 2)
    )


# torchvision --------------------------------------------------------------------------------------------------------


@model("torchvision")
def torchvision_resnet():
    net = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 0, 0, 0], num_classes=3)
    net.layer2 = net.layer3 = net.layer4 = nn.Identity()
    net.conv1, net.bn1, net.fc = nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.Linear(4, 3)
    net.layer1 = torchvision.models.resnet.BasicBlock(4, 4)
    return net, classify, images(16)


@model("torchvision")
def torchvision_mobilenet_v3():
    from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

    block = partial(InvertedResidualConfig, width_mult=0.5)
    layers = [block(8, 3, 8, 8, True, "RE", 2, 1), block(8, 3, 16, 8, True, "HS", 1, 1)]
    return MobileNetV3(layers, 8, num_classes=3), classify, images(16)


@model("torchvision")
def torchvision_squeezenet_fire():
    fire = torchvision.models.squeezenet.Fire(3, 2, 3, 3)
    return nn.Sequential(fire, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)), classify, images(8)


@model("torchvision")
def torchvision_densenet():
    return torchvision.models.DenseNet(4, (1, 1), 4, bn_size=1, num_classes=3), classify, images(32)


@model("torchvision", nudge=0.01)
def torchvision_shufflenet_v2():
    return torchvision.models.ShuffleNetV2([1, 1, 1], [4, 4, 4, 4, 8], 3), classify, images(32)


@model("torchvision")
def torchvision_vit():
    return torchvision.models.VisionTransformer(8, 4, 1, 2, 8, 12, num_classes=3), classify, images(8)


@model("torchvision")
def torchvision_swin():
    return (
        torchvision.models.SwinTransformer([2, 2], 4, [1, 1], [2, 2], [2, 2], num_classes=3, stochastic_depth_prob=0.0),
        classify,
        images(8),
    )


@model("torchvision")
def torchvision_focal_loss():
    def loss(net, b):
        return torchvision.ops.sigmoid_focal_loss(net(b[0]), F.one_hot(b[1], 3).to(b[0]), reduction="mean")

    return nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), loss, images(4)
