"""Language models of transformers."""

import torch
import transformers as hf

from compatibility.entries import model, on_output, own_loss


def ids(length=5, classes=11):
    return torch.randint(3, classes, (2, length))


def causal():
    x = ids()
    return {"input_ids": x, "labels": x}


TINY = {
    "vocab_size": 11, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
    "max_position_embeddings": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def gpt2_of(layers):
    return hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=layers, n_head=2))


@model("transformers")
def gpt2():
    return gpt2_of(layers=1), own_loss, causal()


@model("transformers")
def gpt2_checkpointed():
    net = gpt2_of(layers=2)
    net.gradient_checkpointing_enable({"use_reentrant": False})
    return net, own_loss, causal()


@model("transformers")
def gpt_neo():
    config = hf.GPTNeoConfig(
        vocab_size=11, hidden_size=8, num_layers=2, num_heads=2, max_position_embeddings=8, window_size=2,
        attention_types=[[["global", "local"], 1]], intermediate_size=12,
    )  # fmt: skip
    return hf.GPTNeoForCausalLM(config), own_loss, causal()


@model("transformers")
def gpt_neox():
    return hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**TINY)), own_loss, causal()


@model("transformers")
def llama():
    return hf.LlamaForCausalLM(hf.LlamaConfig(**TINY, num_key_value_heads=1)), own_loss, causal()


@model("transformers")
def llama_eager_attention():
    config = hf.LlamaConfig(**TINY, num_key_value_heads=1, attn_implementation="eager")
    return hf.LlamaForCausalLM(config), own_loss, causal()


@model("transformers")
def mistral():
    return hf.MistralForCausalLM(hf.MistralConfig(**TINY, num_key_value_heads=1, sliding_window=3)), own_loss, causal()


def experts(**options):
    config = hf.MixtralConfig(**TINY, num_key_value_heads=1, num_local_experts=2, num_experts_per_tok=2, **options)
    return hf.MixtralForCausalLM(config), own_loss, causal()


@model("transformers")
def mixtral_eager_experts():
    return experts(experts_implementation="eager")


# The grouped product of matrices that experts are computed by is of float32 at most.
@model("transformers", precisions=(torch.float32,), reference=lambda: experts(experts_implementation="eager"))
def mixtral():
    return experts()


@model("transformers")
def qwen2():
    return hf.Qwen2ForCausalLM(hf.Qwen2Config(**TINY, num_key_value_heads=1)), own_loss, causal()


@model("transformers")
def qwen3():
    return hf.Qwen3ForCausalLM(hf.Qwen3Config(**TINY, num_key_value_heads=1, head_dim=4)), own_loss, causal()


@model("transformers")
def gemma():
    return hf.GemmaForCausalLM(hf.GemmaConfig(**TINY, num_key_value_heads=1, head_dim=4)), own_loss, causal()


@model("transformers")
def gemma2():
    return hf.Gemma2ForCausalLM(hf.Gemma2Config(**TINY, num_key_value_heads=1, head_dim=4)), own_loss, causal()


@model("transformers")
def phi():
    return hf.PhiForCausalLM(hf.PhiConfig(**TINY)), own_loss, causal()


@model("transformers")
def olmo():
    return hf.OlmoForCausalLM(hf.OlmoConfig(**TINY)), own_loss, causal()


@model("transformers")
def granite():
    return hf.GraniteForCausalLM(hf.GraniteConfig(**TINY, num_key_value_heads=1)), own_loss, causal()


@model("transformers")
def stablelm():
    return hf.StableLmForCausalLM(hf.StableLmConfig(**TINY, num_key_value_heads=1)), own_loss, causal()


@model("transformers")
def falcon():
    return (
        hf.FalconForCausalLM(hf.FalconConfig(vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)),
        own_loss,
        causal(),
    )


@model("transformers")
def bloom():
    return hf.BloomForCausalLM(hf.BloomConfig(vocab_size=11, hidden_size=8, n_layer=1, n_head=2)), own_loss, causal()


@model("transformers")
def opt():
    config = hf.OPTConfig(
        vocab_size=11, hidden_size=8, ffn_dim=12, num_hidden_layers=1, num_attention_heads=2, word_embed_proj_dim=8,
        max_position_embeddings=8, pad_token_id=0,
    )  # fmt: skip
    return hf.OPTForCausalLM(config), own_loss, causal()


@model("transformers")
def mamba():
    config = hf.MambaConfig(vocab_size=11, hidden_size=6, num_hidden_layers=1, state_size=3, time_step_rank=2)
    return hf.MambaForCausalLM(config), own_loss, causal()


@model("transformers")
def mamba2():
    config = hf.Mamba2Config(
        vocab_size=11, hidden_size=4, num_hidden_layers=1, state_size=3, expand=2, num_heads=2, head_dim=4, n_groups=1,
        chunk_size=4,
    )  # fmt: skip
    return hf.Mamba2ForCausalLM(config), own_loss, causal()


@model("transformers")
def recurrent_gemma():
    config = hf.RecurrentGemmaConfig(
        vocab_size=11, hidden_size=8, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2,
        lru_width=8, attention_window_size=4, pad_token_id=0,
    )  # fmt: skip
    return hf.RecurrentGemmaForCausalLM(config), own_loss, causal()


@model("transformers")
def xlnet():
    config = hf.XLNetConfig(vocab_size=11, d_model=8, n_layer=1, n_head=2, d_inner=12)
    return hf.XLNetLMHeadModel(config), own_loss, causal()


def masked():
    x = ids()
    return {"input_ids": x, "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]), "labels": x}


@model("transformers")
def bert():
    return hf.BertForMaskedLM(hf.BertConfig(**TINY)), own_loss, masked()


@model("transformers")
def bert_classifier():
    batch = {"input_ids": ids(), "labels": torch.tensor([0, 1])}
    return hf.BertForSequenceClassification(hf.BertConfig(**TINY)), own_loss, batch


@model("transformers")
def bert_with_gradient_checkpoints():
    net = hf.BertForMaskedLM(hf.BertConfig(**TINY))
    net.gradient_checkpointing_enable()
    return net, own_loss, masked()


@model("transformers", train=True, refused="dropout is active")
def bert_in_train_mode():
    return hf.BertForMaskedLM(hf.BertConfig(**TINY)), own_loss, masked()


@model("transformers")
def albert():
    config = hf.AlbertConfig(**TINY, embedding_size=4, inner_group_num=1)
    return hf.AlbertForMaskedLM(config), own_loss, masked()


@model("transformers")
def roberta():
    return hf.RobertaForMaskedLM(hf.RobertaConfig(**TINY)), own_loss, masked()


@model("transformers")
def distilbert():
    config = hf.DistilBertConfig(vocab_size=11, dim=8, hidden_dim=12, n_layers=1, n_heads=2, max_position_embeddings=8)
    return hf.DistilBertForMaskedLM(config), own_loss, masked()


@model("transformers")
def electra():
    batch = {"input_ids": ids(), "labels": torch.randint(2, (2, 5))}
    return hf.ElectraForPreTraining(hf.ElectraConfig(**TINY, embedding_size=4)), own_loss, batch


@model("transformers")
def deberta():
    config = hf.DebertaV2Config(**TINY, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=4)
    return hf.DebertaV2ForMaskedLM(config), own_loss, masked()


@model("transformers")
def roformer():
    return hf.RoFormerForMaskedLM(hf.RoFormerConfig(**TINY, embedding_size=8)), own_loss, masked()


@model("transformers")
def fnet():
    x = ids()
    return hf.FNetForMaskedLM(hf.FNetConfig(**TINY)), own_loss, {"input_ids": x, "labels": x}


@model("transformers")
def longformer():
    config = hf.LongformerConfig(**TINY, attention_window=4)
    return hf.LongformerForMaskedLM(config), own_loss, {"input_ids": (x := ids(8)), "labels": x}


@model("transformers")
def big_bird():
    return hf.BigBirdForMaskedLM(hf.BigBirdConfig(**TINY, attention_type="original_full")), own_loss, masked()


@model("transformers")
def nystromformer():
    config = hf.NystromformerConfig(**TINY, num_landmarks=2, segment_means_seq_len=4)
    return hf.NystromformerForMaskedLM(config), own_loss, {"input_ids": (x := ids(4)), "labels": x}


@model("transformers")
def modern_bert():
    config = hf.ModernBertConfig(**TINY, global_attn_every_n_layers=1, cls_token_id=1, sep_token_id=2)
    return hf.ModernBertForMaskedLM(config), own_loss, masked()


@model("transformers")
def t5():
    config = hf.T5Config(
        vocab_size=11, d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2, decoder_start_token_id=0,
        relative_attention_num_buckets=4,
    )  # fmt: skip
    return hf.T5ForConditionalGeneration(config), own_loss, {"input_ids": ids(), "labels": ids(3)}


@model("transformers")
def bart():
    config = hf.BartConfig(
        vocab_size=11, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=12, decoder_ffn_dim=12, max_position_embeddings=8, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=2,
    )  # fmt: skip
    return hf.BartForConditionalGeneration(config), own_loss, {"input_ids": ids(), "labels": ids(3)}


@model("transformers")
def decision_transformer():
    config = hf.DecisionTransformerConfig(state_dim=3, act_dim=2, hidden_size=8, n_layer=1, n_head=2, max_ep_len=9)
    batch = {
        "states": torch.randn(2, 3, 3), "actions": torch.randn(2, 3, 2), "rewards": torch.randn(2, 3, 1),
        "returns_to_go": torch.randn(2, 3, 1), "timesteps": torch.arange(3).expand(2, 3),
        "attention_mask": torch.ones(2, 3),
    }  # fmt: skip
    return hf.DecisionTransformerModel(config), on_output, batch
