"""Networks of images that need PyTorch alone, written as their public files have them."""

import torch
from torch import nn
from torch.nn import functional as F

from compatibility.entries import classify, model, on_output


def images(size=8, channels=3, count=4):
    return torch.randn(count, channels, size, size), torch.arange(count) % 3


class BasicBlock(nn.Module):
    def __init__(self, inplanes, planes, stride=1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False), nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.downsample(x)
        return self.relu(out)


def resnet():
    return nn.Sequential(BasicBlock(3, 4), BasicBlock(4, 6, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))


@model("torch")
def resnet_block():
    return resnet(), classify, images()


@model("torch", train=True)
def resnet_in_train_mode():
    return resnet(), classify, images()


class SqueezeExcite(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(width, 2, 1), nn.Conv2d(2, width, 1)

    def forward(self, x):
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))


@model("torch")
def mobilenet_v3_block():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.Hardswish(inplace=True),
        nn.Conv2d(4, 4, 3, 1, 1, groups=4), SqueezeExcite(4), nn.Hardswish(), nn.Flatten(), nn.Linear(64, 3),
    )  # fmt: skip
    return net, classify, images()


class ConvNeXtBlock(nn.Module):
    def __init__(self, dim=4):
        super().__init__()
        self.dwconv, self.norm = nn.Conv2d(dim, dim, 7, padding=3, groups=dim), nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1, self.pwconv2 = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        self.gamma = nn.Parameter(1e-6 * torch.ones(dim))

    def forward(self, x):
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))).permute(0, 3, 1, 2)


@model("torch")
def convnext_block():
    return ConvNeXtBlock(), on_output, torch.randn(2, 4, 8, 8)


class UNet(nn.Module):
    """With a sinusoidal time, group norm and a skip connection, as diffusion models have it."""

    def __init__(self, width=4):
        super().__init__()
        self.time, self.first = nn.Linear(4, width), nn.Conv2d(1, width, 3, padding=1)
        self.down, self.norm = nn.Conv2d(width, width, 3, 2, 1), nn.GroupNorm(2, width)
        self.up, self.last = nn.ConvTranspose2d(width, width, 2, 2), nn.Conv2d(2 * width, 1, 3, padding=1)

    def forward(self, x, t):
        phase = t[:, None] * torch.exp(-torch.arange(2, dtype=x.dtype))
        shift = self.time(torch.cat([phase.sin(), phase.cos()], 1))[:, :, None, None]
        skip = F.silu(self.first(x)) + shift
        return self.last(torch.cat([self.up(F.silu(self.norm(self.down(skip)))), skip], 1))


@model("torch")
def diffusion_unet():
    return UNet(), lambda net, b: F.mse_loss(net(b[0], b[1]), b[2]), (
        torch.randn(3, 1, 8, 8), torch.rand(3), torch.randn(3, 1, 8, 8)
    )  # fmt: skip


class Capsules(nn.Module):
    """Dynamic routing without a gradient through its first rounds, as CapsNet's public code detaches it."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(0.3 * torch.randn(2, 4, 3, 3))

    def forward(self, x):
        votes = torch.einsum("bid,ojde->boie", x, self.weight[:, :1]).squeeze(-1)
        logits = torch.zeros(votes.shape[:-1], dtype=x.dtype)
        for last in (False, True):
            seen = votes if last else votes.detach()
            s = (logits.softmax(1)[..., None] * seen).sum(2)
            v = s * (s.square().sum(-1, keepdim=True) / (1 + s.square().sum(-1, keepdim=True)))
            logits = logits + (seen * v[:, :, None]).sum(-1)
        return v


@model("torch")
def capsules():
    return Capsules(), on_output, torch.randn(3, 4, 3)
