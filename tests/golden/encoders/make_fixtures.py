"""Make the encoder fixtures: tiny random checkpoints of transformers with their own outputs.

Run with torch and transformers 4.57.6, from anywhere: `python make_fixtures.py [NAME...]`. Each
fixture gets config.json, model.safetensors and golden.npz: `input_*`, the arguments of the forward
pass, and `output_*`, what transformers computes from them in float32.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

FOLDER = Path(__file__).resolve().parent
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
BERT = {
    "vocab_size": 64,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    **STILL,
}
NARROW = {**BERT, "embedding_size": 12}
ROBERTA = {**BERT, "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
DISTILBERT = {
    "vocab_size": 64,
    "dim": 16,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 24,
    "max_position_embeddings": 20,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "seq_classif_dropout": 0.0,
}
BART = {
    "vocab_size": 64,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "max_position_embeddings": 20,
    "dropout": 0.0,
}
T5 = {
    "vocab_size": 64,
    "d_model": 16,
    "d_kv": 6,
    "d_ff": 24,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "dropout_rate": 0.0,
    "decoder_start_token_id": 0,
}
GATED = {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
CLIP_TEXT = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 20,
    "projection_dim": 12,
    "bos_token_id": 62,
    "eos_token_id": 63,
}
CLIP_VISION = {
    "hidden_size": 20,
    "intermediate_size": 28,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 12,
    "patch_size": 4,
    "projection_dim": 12,
}
CLIP = {"text_config": CLIP_TEXT, "vision_config": CLIP_VISION, "projection_dim": 12}
LABELS = {"num_labels": 3}

TEXT, PAIRS, IMAGE = ("input_ids",), ("input_ids", "token_type_ids"), ("pixel_values",)
BOTH = (*TEXT, *IMAGE)
SPAN = ("start_logits", "end_logits")
HIDDEN = ("last_hidden_state",)
POOLED = (*HIDDEN, "pooler_output")
LOGITS = ("logits",)
SEQUENCES = ("input_ids", "decoder_input_ids")

# name -> class, configuration, arguments of the forward pass, outputs to keep
FIXTURES: dict[str, tuple[str, dict[str, Any], tuple[str, ...], tuple[str, ...]]] = {
    "albert": ("AlbertForPreTraining", NARROW, PAIRS, ("prediction_logits", "sop_logits")),
    "albert_classifier": ("AlbertForSequenceClassification", NARROW | LABELS, PAIRS, LOGITS),
    "albert_span": ("AlbertForQuestionAnswering", NARROW, PAIRS, SPAN),
    "bart": ("BartForConditionalGeneration", BART, SEQUENCES, LOGITS),
    "bart_base": ("BartModel", BART, SEQUENCES, HIDDEN),
    "bert": ("BertForPreTraining", BERT, PAIRS, ("prediction_logits", "seq_relationship_logits")),
    "bert_base": ("BertModel", BERT, PAIRS, POOLED),
    "bert_classifier": ("BertForSequenceClassification", BERT | LABELS, PAIRS, LOGITS),
    "bert_masked_lm": ("BertForMaskedLM", BERT, PAIRS, LOGITS),
    "bert_span": ("BertForQuestionAnswering", BERT, PAIRS, SPAN),
    "clip": ("CLIPModel", CLIP, BOTH, ("logits_per_text", "text_embeds", "image_embeds")),
    "clip_text": ("CLIPTextModelWithProjection", CLIP_TEXT, TEXT, ("text_embeds",)),
    "clip_vision": ("CLIPVisionModelWithProjection", CLIP_VISION, IMAGE, ("image_embeds",)),
    "distilbert": ("DistilBertForMaskedLM", DISTILBERT, TEXT, LOGITS),
    "distilbert_classifier": (
        "DistilBertForSequenceClassification",
        DISTILBERT | LABELS,
        TEXT,
        LOGITS,
    ),
    "electra": ("ElectraForPreTraining", NARROW, PAIRS, LOGITS),
    "electra_classifier": ("ElectraForSequenceClassification", NARROW | LABELS, PAIRS, LOGITS),
    "electra_masked_lm": ("ElectraForMaskedLM", NARROW, PAIRS, LOGITS),
    "ernie_code": ("MT5ForConditionalGeneration", GATED, SEQUENCES, LOGITS),
    "mt5": ("MT5ForConditionalGeneration", GATED, SEQUENCES, LOGITS),
    "roberta": ("RobertaForMaskedLM", ROBERTA, TEXT, LOGITS),
    "roberta_classifier": ("RobertaForSequenceClassification", ROBERTA | LABELS, TEXT, LOGITS),
    "roberta_tokens": ("RobertaForTokenClassification", ROBERTA | LABELS, TEXT, LOGITS),
    "roformer": ("RoFormerForMaskedLM", NARROW, PAIRS, LOGITS),
    "roformer_tokens": ("RoFormerForTokenClassification", BERT | LABELS, PAIRS, LOGITS),
    "t5": ("T5ForConditionalGeneration", T5, SEQUENCES, LOGITS),
    "t5_encoder": ("T5EncoderModel", T5, TEXT, HIDDEN),
    "t5_gated": ("T5ForConditionalGeneration", GATED, SEQUENCES, LOGITS),
}
# Files as ERNIE-Code's hub files are: mT5's, told apart by the class alone.
RENAMED = {"ernie_code": ("ErnieCodeForConditionalGeneration", "ErnieCode")}


def perturb(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Give every parameter random values: norms around 1, biases and weights around 0.

    What is not trained, RoFormer's sinusoids, stays.
    """
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        norm = "norm" in name.lower() and name.endswith("weight")
        # T5 does not scale its attention scores, so that wide weights would make them one-hot.
        wide = 0.3 if hasattr(model.config, "d_kv") else 0.5
        scale = 0.2 if norm or parameter.ndim < 2 else wide
        parameter.data = noise * scale + (1.0 if norm or name == "logit_scale" else 0.0)


def inputs(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Arguments of every kind of model: two sentences of nine tokens, no padding, two images."""
    tokens = torch.randint(4, 60, (2, 9), generator=generator)
    tokens[:, -1] = 63
    return {
        "input_ids": tokens,
        "token_type_ids": torch.tensor([[0] * 5 + [1] * 4] * 2),
        "decoder_input_ids": torch.randint(4, 60, (2, 7), generator=generator),
        "pixel_values": torch.randn(2, 3, 12, 12, generator=generator),
    }


def make(name: str) -> None:
    """Write one fixture."""
    class_name, fields, arguments, kept = FIXTURES[name]
    generator = torch.Generator().manual_seed(sum(name.encode()))
    kind = getattr(transformers, class_name)
    model = kind(kind.config_class(**fields)).eval()
    perturb(model, generator)
    model.tie_weights()
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    # What is compared is what the files hold.
    model = kind.from_pretrained(folder).eval()
    given = {key: value for key, value in inputs(generator).items() if key in arguments}
    with torch.no_grad():
        out = model(**given)
    arrays = {f"input_{key}": value.numpy() for key, value in given.items()}
    arrays |= {f"output_{key}": out[key].numpy().astype(np.float32) for key in kept}
    np.savez_compressed(folder / "golden.npz", **arrays)
    if name in RENAMED:
        config = json.loads((folder / "config.json").read_text())
        class_name, model_type = RENAMED[name]
        config |= {"architectures": [class_name], "model_type": model_type}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or FIXTURES:
        make(chosen)
