"""Adapters of trained models (peft) and differential privacy (opacus)."""

import peft
import torch
import transformers as hf
from opacus.grad_sample import GradSampleModule
from opacus.layers import DPLSTM, DPMultiheadAttention
from opacus.validators import ModuleValidator
from torch import nn

from compatibility.entries import classify, model, own_loss


def adapted(config):
    torch.manual_seed(0)
    base = hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2))
    ids = torch.randint(11, (2, 5))
    return peft.get_peft_model(base, config), own_loss, {"input_ids": ids, "labels": ids}


@model("peft")
def lora():
    return adapted(peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))


@model("peft")
def rank_stabilised_lora():
    return adapted(peft.LoraConfig(r=2, target_modules=["c_attn", "c_proj"], use_rslora=True, fan_in_fan_out=True))


@model("peft")
def weight_decomposed_lora():
    return adapted(peft.LoraConfig(r=2, target_modules=["c_attn"], use_dora=True, fan_in_fan_out=True))


@model("peft")
def ia3():
    return adapted(peft.IA3Config(target_modules=["c_attn"], feedforward_modules=[], fan_in_fan_out=True))


@model("peft")
def prompt_tuning():
    return adapted(peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))


@model("peft")
def prefix_tuning():
    return adapted(peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))


def linear(config):
    base = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    return peft.get_peft_model(base, config), classify, (torch.randn(5, 4), torch.tensor([0, 1, 2, 1, 0]))


@model("peft")
def loha():
    return linear(peft.LoHaConfig(r=2, target_modules=["0", "2"]))


@model("peft")
def lokr():
    return linear(peft.LoKrConfig(r=2, target_modules=["0", "2"]))


@model("peft")
def orthogonal_finetuning():
    return linear(peft.OFTConfig(r=2, oft_block_size=0, target_modules=["0"]))


@model("peft")
def vera():
    return linear(peft.VeraConfig(r=2, target_modules=["0"]))


@model("opacus", train=True)
def private_convolutions():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    net = GradSampleModule(net)
    return net, classify, (torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 1]))


@model("opacus", train=True)
def private_after_fixing_batch_norm():
    net = ModuleValidator.fix(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    )
    net = GradSampleModule(net)
    return net, classify, (torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 1]))


@model("opacus", train=True)
def private_lstm():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.read = DPLSTM(3, 4, batch_first=True), nn.Linear(4, 3)

        def forward(self, x):
            return self.read(self.rnn(x)[0][:, -1])

    return Net(), classify, (torch.randn(4, 5, 3), torch.tensor([0, 1, 2, 1]))


@model("opacus", train=True)
def private_attention():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.read = DPMultiheadAttention(4, 2), nn.Linear(4, 3)

        def forward(self, x):
            x = x.transpose(0, 1)
            return self.read(self.attention(x, x, x)[0].mean(0))

    return Net(), classify, (torch.randn(4, 5, 4), torch.tensor([0, 1, 2, 1]))
