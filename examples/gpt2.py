"""The loss-surface index of a small GPT-2 of Hugging Face, briefly trained on a sentence.

pip install transformers
gantools index examples/gpt2.py:build --method estimate
python examples/gpt2.py
"""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import gantools as gt

TEXT = "the cat sat on the mat and the dog sat on the log and the frog sat on the cat that sat on the dog"


def build(width=8, layers=2, length=12, steps=60, dtype=torch.float64):
    """Return a briefly trained language model of characters as a game of one player, and its batch."""
    torch.manual_seed(0)
    letters = sorted(set(TEXT))
    ids = torch.tensor([letters.index(letter) for letter in TEXT]).unfold(0, length, 4)
    config = GPT2Config(vocab_size=len(letters), n_positions=length, n_embd=width, n_layer=layers, n_head=2)
    model = GPT2LMHeadModel(config).to(dtype).eval()  # eval: dropout at rest
    game = gt.minimization(model, lambda model, batch: model(**batch).loss)
    batch = {"input_ids": ids, "labels": ids}
    optimizer = gt.trainers.make("simultaneous", game, lr=3e-3, base="adam")
    for _ in range(steps):
        optimizer.step(batch)
    return game, batch


if __name__ == "__main__":
    H = gt.analysis.hessian(*build())
    for part in ("model.transformer.wte.*", "model.transformer.h.0.*", "model.transformer.h.1.*"):
        block = gt.analysis.restrict(H, part)
        both = [gt.analysis.eigenvalues(block, k=1, which=which, tol=1e-3).values.item() for which in ("LA", "SA")]
        print(f"{part:<26}{block.n:>5} parameters, curvature from {both[1]:+.3g} to {both[0]:+.3g}")
