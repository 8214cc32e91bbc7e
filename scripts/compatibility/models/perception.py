"""Models of images, sound and time series of transformers."""

import torch
import transformers as hf

from compatibility.entries import model, on_output, own_loss

TINY = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}


def pictures(size=8, count=2):
    return torch.randn(count, 3, size, size)


def labelled(size=8, count=2):
    return {"pixel_values": pictures(size, count), "labels": torch.arange(count) % 2}


@model("transformers")
def vit():
    return hf.ViTForImageClassification(hf.ViTConfig(**TINY, image_size=8, patch_size=4)), own_loss, labelled()


@model("transformers")
def vit_checkpointed():
    net = hf.ViTForImageClassification(hf.ViTConfig(**TINY, image_size=8, patch_size=4))
    net.gradient_checkpointing_enable()
    return net, own_loss, labelled()


@model("transformers")
def deit():
    return hf.DeiTForImageClassification(hf.DeiTConfig(**TINY, image_size=8, patch_size=4)), own_loss, labelled()


@model("transformers")
def beit():
    config = hf.BeitConfig(**TINY, image_size=8, patch_size=4, use_relative_position_bias=True)
    return hf.BeitForImageClassification(config), own_loss, labelled()


@model("transformers")
def dinov2():
    return hf.Dinov2ForImageClassification(hf.Dinov2Config(**TINY, image_size=8, patch_size=4)), own_loss, labelled()


@model("transformers")
def swin():
    config = hf.SwinConfig(image_size=16, patch_size=2, embed_dim=4, depths=[1, 1], num_heads=[1, 2], window_size=2)
    return hf.SwinForImageClassification(config), own_loss, labelled(16)


@model("transformers")
def swin_v2():
    config = hf.Swinv2Config(image_size=16, patch_size=2, embed_dim=4, depths=[1, 1], num_heads=[1, 2], window_size=2)
    return hf.Swinv2ForImageClassification(config), own_loss, labelled(16)


@model("transformers")
def convnext():
    config = hf.ConvNextConfig(hidden_sizes=[4, 6], depths=[1, 1], patch_size=2, num_stages=2)
    return hf.ConvNextForImageClassification(config), own_loss, labelled(16)


@model("transformers")
def convnext_v2():
    config = hf.ConvNextV2Config(hidden_sizes=[4, 6], depths=[1, 1], patch_size=2, num_stages=2)
    return hf.ConvNextV2ForImageClassification(config), own_loss, labelled(16)


@model("transformers")
def resnet_of_transformers():
    config = hf.ResNetConfig(embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], layer_type="basic")
    return hf.ResNetForImageClassification(config), own_loss, labelled(16)


@model("transformers")
def mobilevit():
    config = hf.MobileViTConfig(
        image_size=32, patch_size=2, hidden_sizes=[4, 4, 4], neck_hidden_sizes=[4, 4, 4, 4, 4, 4, 8],
        num_attention_heads=2,
    )  # fmt: skip
    return hf.MobileViTForImageClassification(config), own_loss, labelled(32)


@model("transformers")
def segformer():
    config = hf.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[4, 8], patch_sizes=[3, 3], strides=[2, 2],
        num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=4,
    )  # fmt: skip
    batch = {"pixel_values": pictures(16), "labels": torch.randint(2, (2, 16, 16))}
    return hf.SegformerForSemanticSegmentation(config), own_loss, batch


@model("transformers")
def poolformer():
    config = hf.PoolFormerConfig(
        num_encoder_blocks=2, depths=[1, 1], hidden_sizes=[4, 6], patch_sizes=[3, 3], strides=[2, 2], padding=[1, 1]
    )
    return hf.PoolFormerForImageClassification(config), own_loss, labelled(8)


@model("transformers")
def vit_mae():
    config = hf.ViTMAEConfig(
        **TINY, image_size=8, patch_size=4, decoder_num_attention_heads=2, decoder_hidden_size=8,
        decoder_num_hidden_layers=1, decoder_intermediate_size=12,
    )  # fmt: skip
    batch = {"pixel_values": pictures(), "noise": torch.rand(2, 4)}
    return hf.ViTMAEForPreTraining(config), own_loss, batch


@model("transformers")
def clip():
    text = {**TINY, "vocab_size": 11, "max_position_embeddings": 8, "eos_token_id": 2, "projection_dim": 4}
    vision = {**TINY, "image_size": 8, "patch_size": 4, "projection_dim": 4}
    net = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=4))
    batch = {"input_ids": torch.randint(3, 11, (2, 5)), "pixel_values": pictures(), "return_loss": True}
    return net, own_loss, batch


@model("transformers")
def siglip():
    text = {**TINY, "vocab_size": 11, "max_position_embeddings": 8}
    net = hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config={**TINY, "image_size": 8, "patch_size": 4}))
    batch = {"input_ids": torch.randint(3, 11, (2, 5)), "pixel_values": pictures(), "return_loss": True}
    return net, own_loss, batch


@model("transformers")
def perceiver():
    config = hf.PerceiverConfig(
        num_latents=3, d_latents=8, d_model=8, num_self_attends_per_block=1, num_self_attention_heads=2,
        num_cross_attention_heads=2, vocab_size=11, max_position_embeddings=8,
    )  # fmt: skip
    return hf.PerceiverModel(config), on_output, {"inputs": torch.randn(2, 4, 8)}


@model("transformers")
def whisper():
    config = hf.WhisperConfig(
        vocab_size=11, num_mel_bins=4, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=12, decoder_ffn_dim=12, max_source_positions=4,
        max_target_positions=8, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    batch = {"input_features": torch.randn(2, 4, 8), "labels": torch.randint(3, 11, (2, 3))}
    return hf.WhisperForConditionalGeneration(config), own_loss, batch


SPEECH = {
    **TINY, "vocab_size": 6, "conv_dim": (4, 4), "conv_stride": (3, 2), "conv_kernel": (4, 3),
    "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip


@model("transformers")
def wav2vec2_with_ctc():
    config = hf.Wav2Vec2Config(**SPEECH, feat_extract_norm="layer", ctc_loss_reduction="mean", ctc_zero_infinity=False)
    batch = {"input_values": torch.randn(2, 120), "labels": torch.randint(1, 6, (2, 3))}
    return hf.Wav2Vec2ForCTC(config), own_loss, batch


@model("transformers")
def wav2vec2_classifier():
    config = hf.Wav2Vec2Config(**SPEECH, feat_extract_norm="group", classifier_proj_size=4)
    batch = {"input_values": torch.randn(2, 60), "labels": torch.tensor([0, 1])}
    return hf.Wav2Vec2ForSequenceClassification(config), own_loss, batch


@model("transformers")
def hubert():
    return hf.HubertModel(hf.HubertConfig(**SPEECH)), on_output, {"input_values": torch.randn(2, 60)}


@model("transformers")
def wavlm():
    return hf.WavLMModel(hf.WavLMConfig(**SPEECH)), on_output, {"input_values": torch.randn(2, 60)}


@model("transformers")
def audio_spectrogram_transformer():
    config = hf.ASTConfig(**TINY, patch_size=4, max_length=12, num_mel_bins=8, frequency_stride=4, time_stride=4)
    batch = {"input_values": torch.randn(2, 12, 8), "labels": torch.tensor([0, 1])}
    return hf.ASTForAudioClassification(config), own_loss, batch


@model("transformers")
def patchtst():
    config = hf.PatchTSTConfig(
        num_input_channels=2, context_length=12, patch_length=4, patch_stride=4, d_model=8, num_hidden_layers=1,
        num_attention_heads=2, ffn_dim=12, prediction_length=3, loss="mse",
    )  # fmt: skip
    batch = {"past_values": torch.randn(3, 12, 2), "future_values": torch.randn(3, 3, 2)}
    return hf.PatchTSTForPrediction(config), own_loss, batch


SERIES = {
    "prediction_length": 2, "context_length": 4, "input_size": 1, "lags_sequence": [1], "num_time_features": 1,
    "d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 12, "decoder_ffn_dim": 12,
}  # fmt: skip


def series():
    return {
        "past_values": torch.randn(3, 5), "past_time_features": torch.randn(3, 5, 1),
        "past_observed_mask": torch.ones(3, 5), "future_values": torch.randn(3, 2),
        "future_time_features": torch.randn(3, 2, 1),
    }  # fmt: skip


@model("transformers")
def time_series_transformer():
    config = hf.TimeSeriesTransformerConfig(**SERIES)
    return hf.TimeSeriesTransformerForPrediction(config), own_loss, series()


@model("transformers", precisions=(torch.float32,))  # it makes tensors of float32 itself
def autoformer():
    config = hf.AutoformerConfig(**SERIES, moving_average=3, label_length=2, autocorrelation_factor=1)
    return hf.AutoformerForPrediction(config), own_loss, series()
