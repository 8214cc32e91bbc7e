"""Networks of sequences that need PyTorch alone, written as their public files have them."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from compatibility.entries import classify, model, on_output


class CausalSelfAttention(nn.Module):
    """As in nanoGPT."""

    def __init__(self, width, heads):
        super().__init__()
        self.c_attn, self.c_proj, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = (y.view(B, T, self.heads, C // self.heads).transpose(1, 2) for y in self.c_attn(x).split(C, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.attn, self.ln_2 = nn.LayerNorm(width), CausalSelfAttention(width, heads), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class NanoGPT(nn.Module):
    """Tied embeddings; returns its own loss."""

    def __init__(self, vocab=7, width=8, checkpointed=False):
        super().__init__()
        self.wte, self.wpe, self.checkpointed = nn.Embedding(vocab, width), nn.Embedding(6, width), checkpointed
        self.h, self.ln_f = nn.ModuleList([Block(width, 2), Block(width, 2)]), nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocab, bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, idx, targets):
        x = self.wte(idx) + self.wpe(torch.arange(idx.size(1)))
        for block in self.h:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpointed else block(x)
        logits = self.lm_head(self.ln_f(x))
        return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1))


def second(net, batch):
    return net(*batch)[1]


@model("torch")
def nano_gpt():
    ids = torch.randint(7, (2, 6))
    return NanoGPT(), second, (ids[:, :-1], ids[:, 1:])


@model("torch")
def nano_gpt_checkpointed():
    ids = torch.randint(7, (2, 6))
    return NanoGPT(checkpointed=True), second, (ids[:, :-1], ids[:, 1:])


class RMSNorm(nn.Module):
    """As in Llama: computes in float32."""

    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        y = x.float()
        return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)).type_as(x) * self.weight


class LlamaBlock(nn.Module):
    """Rotary positions as complex numbers, SwiGLU."""

    def __init__(self, dim=8, heads=2):
        super().__init__()
        self.heads, self.norm, self.norm2 = heads, RMSNorm(dim), RMSNorm(dim)
        self.wqkv, self.wo = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.w1, self.w2, self.w3 = (nn.Linear(a, b, bias=False) for a, b in ((dim, 12), (12, dim), (dim, 12)))

    def rotate(self, x):
        T, half = x.shape[1], x.shape[-1] // 2
        freqs = torch.outer(torch.arange(T), 1.0 / 10000 ** (torch.arange(half) / half))
        turn = torch.polar(torch.ones_like(freqs), freqs)[None, :, None]
        pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turn).flatten(3).type_as(x)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (y.view(B, T, self.heads, -1) for y in self.wqkv(self.norm(x)).chunk(3, -1))
        q, k, v = (y.transpose(1, 2) for y in (self.rotate(q), self.rotate(k), v))
        scores = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(C / self.heads)
        scores = scores + torch.full((T, T), float("-inf")).triu(1).type_as(scores)
        x = x + self.wo((F.softmax(scores.float(), -1).type_as(q) @ v).transpose(1, 2).reshape(B, T, C))
        y = self.norm2(x)
        return x + self.w2(F.silu(self.w1(y)) * self.w3(y))


@model("torch", tolerance=1e-4)
def llama_block():
    return LlamaBlock(), on_output, torch.randn(2, 4, 8)


class SSM(nn.Module):
    """A selective state space as in Mamba, step by step."""

    def __init__(self, width=3, state=2):
        super().__init__()
        self.log_a, self.skip = nn.Parameter(torch.randn(width, state)), nn.Parameter(torch.ones(width))
        self.b, self.c, self.dt = nn.Linear(width, state), nn.Linear(width, state), nn.Linear(width, width)

    def forward(self, x):
        h, out = x.new_zeros(len(x), x.shape[2], self.log_a.shape[1]), []
        for u in x.unbind(1):
            dt = F.softplus(self.dt(u))[..., None]
            h = torch.exp(-dt * self.log_a.exp()) * h + dt * self.b(u)[:, None] * u[..., None]
            out.append((h * self.c(u)[:, None]).sum(-1) + self.skip * u)
        return torch.stack(out, 1)


@model("torch")
def state_space():
    return SSM(), on_output, torch.randn(2, 4, 3)


class LSTMClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.rnn = nn.Embedding(6, 4, padding_idx=0), nn.LSTM(4, 4, batch_first=True, bidirectional=True)
        self.read = nn.Linear(8, 3)

    def forward(self, ids):
        return self.read(self.rnn(self.embed(ids))[0].mean(1))


@model("torch")
def lstm_classifier():
    return LSTMClassifier(), classify, (torch.randint(6, (4, 5)), torch.tensor([0, 1, 2, 1]))


class MixtureOfExperts(nn.Module):
    """The two best of four experts for each sample."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(4, 4)
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 4)) for _ in range(4)])

    def forward(self, x):
        weight, chosen = self.gate(x).topk(2)
        out = torch.zeros_like(x)
        for k, expert in enumerate(self.experts):
            rows, place = (chosen == k).nonzero(as_tuple=True)
            out = out.index_add(0, rows, weight.softmax(-1)[rows, place, None] * expert(x[rows]))
        return out


@model("torch")
def mixture_of_experts():
    return MixtureOfExperts(), on_output, torch.randn(6, 4)


class TransformerNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Transformer(8, 2, 1, 1, 12, dropout=0.0, batch_first=True)

    def forward(self, a, b):
        return self.net(a, b)


@model("torch")
def torch_transformer():
    return TransformerNet(), on_output, (torch.randn(2, 4, 8), torch.randn(2, 3, 8))
