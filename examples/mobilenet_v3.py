"""The loss-surface index of a small MobileNetV3 of torchvision, briefly trained on handwritten digits.

Its hard sigmoid has no second derivative in PyTorch; analysis makes it of elementary operations by itself.

pip install torchvision
gantools index examples/mobilenet_v3.py:build --method estimate
python examples/mobilenet_v3.py
"""

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy, interpolate
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

import gantools as gt


def build(width=4, samples=32, steps=20, dtype=torch.float64):
    """Return a briefly trained classifier of images as a game of one player, and its batch."""
    torch.manual_seed(0)
    digits = load_digits(n_class=3)
    images = torch.from_numpy(digits.images[:samples]).to(dtype)[:, None] / 16
    batch = (interpolate(images, scale_factor=4).expand(-1, 3, -1, -1), torch.from_numpy(digits.target[:samples]))
    blocks = [  # inputs, kernel, expanded, outputs, squeeze and excitation, activation, stride, dilation, multiplier
        InvertedResidualConfig(width, 3, width, width, True, "RE", 2, 1, 1.0),
        InvertedResidualConfig(width, 5, 2 * width, width, True, "HS", 1, 1, 1.0),
    ]
    model = MobileNetV3(blocks, 2 * width, num_classes=3).to(dtype).eval()
    game = gt.minimization(model, lambda model, batch: cross_entropy(model(batch[0]), batch[1]))
    optimizer = gt.trainers.make("simultaneous", game, lr=3e-3, base="adam")
    for _ in range(steps):
        optimizer.step(batch)
    return game, batch


if __name__ == "__main__":
    H = gt.analysis.hessian(*build())
    print(gt.analysis.index(H, method="estimate"))
