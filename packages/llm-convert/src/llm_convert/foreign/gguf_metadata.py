"""GGUF's metadata and a config.json, each from the other, for the families of `names.gguf`.

Names of the keys: the package gguf (`gguf.Keys`). Numbers are float32 there; the shortest decimal
that means the same float32 is what goes into config.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import gguf
import numpy as np

from llm_convert.errors import ConvertError, FileFormatError
from llm_convert.names.gguf import architecture
from llm_kernels.families import (
    LinearScaling,
    Llama3Scaling,
    Rope,
    Sizes,
    YarnScaling,
    detect,
    read_sizes,
)
from llm_kernels.families.spec import FamilySpec
from llm_kernels.reference import inverse_frequencies

# The class that the hub calls an architecture of GGUF by.
_CLASSES: Mapping[str, str] = MappingProxyType(
    {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
)
_WINDOWED: Mapping[str, str] = MappingProxyType({"llama": "MistralForCausalLM"})
# What transformers' AutoModel goes by.
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "LlamaForCausalLM": "llama",
        "MistralForCausalLM": "mistral",
        "Qwen2ForCausalLM": "qwen2",
        "Qwen3ForCausalLM": "qwen3",
    }
)
_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "embedding_length": "hidden_size",
        "block_count": "num_hidden_layers",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "attention.key_length": "head_dim",
        "attention.layer_norm_rms_epsilon": "rms_norm_eps",
        "attention.sliding_window": "sliding_window",
        "context_length": "max_position_embeddings",
        "rope.freq_base": "rope_theta",
        "vocab_size": "vocab_size",
    }
)
_TOKENS: Mapping[str, str] = MappingProxyType(
    {
        "tokenizer.ggml.bos_token_id": "bos_token_id",
        "tokenizer.ggml.eos_token_id": "eos_token_id",
        "tokenizer.ggml.padding_token_id": "pad_token_id",
    }
)
# Of LLaMA 3.1 and 3.2; GGUF has no keys for them.
_ORIGINAL = 8192
_BAND = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}


def config_of(
    metadata: Mapping[str, Any], vocab: int, frequencies: np.ndarray | None, *, tied: bool
) -> dict[str, Any]:
    """The config.json that the metadata of a file stands for.

    `vocab`: rows of its embedding. `frequencies` [R/2]: its divisors of the rotary frequencies.

    Raises:
        ConvertError: an architecture that is not supported.
        FileFormatError: divisors that no known scaling gives.
    """
    arch = str(metadata.get("general.architecture"))
    if arch not in _CLASSES:
        message = (
            f"GGUF files of the architecture {arch!r} are not supported; supported are "
            f"{', '.join(_CLASSES)}. Convert the model from its original files."
        )
        raise ConvertError(message)
    config: dict[str, Any] = {
        field: metadata[f"{arch}.{key}"]
        for key, field in _FIELDS.items()
        if f"{arch}.{key}" in metadata
    }
    config |= {field: metadata[key] for key, field in _TOKENS.items() if key in metadata}
    windowed = "sliding_window" in config and arch in _WINDOWED
    name = _WINDOWED[arch] if windowed else _CLASSES[arch]
    config |= {
        "architectures": [name],
        "model_type": _TYPES[name],
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
        "hidden_act": "silu",
    }
    scaling = _stated_scaling(metadata, arch)
    if frequencies is not None:
        scaling = _llama3(config, frequencies.reshape(-1))
    return {**config, "rope_scaling": scaling} if scaling else config


def metadata_of(spec: FamilySpec, sizes: Sizes, config: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a model, without `general.architecture` and the tokenizer's.

    Raises ConvertError where GGUF has no place for something that the family or the sizes state.
    """
    arch = architecture(spec)
    metadata: dict[str, Any] = {
        "context_length": sizes.max_positions,
        "embedding_length": sizes.hidden,
        "block_count": sizes.layers,
        "feed_forward_length": sizes.mlp,
        "attention.head_count": sizes.heads,
        "attention.head_count_kv": sizes.kv_heads,
        "attention.key_length": sizes.head_dim,
        "attention.value_length": sizes.head_dim,
        "attention.layer_norm_rms_epsilon": float(sizes.eps),
        "rope.dimension_count": sizes.head_dim,
        "rope.freq_base": float(sizes.theta),
        "vocab_size": sizes.vocab,
    }
    if sizes.window:
        metadata["attention.sliding_window"] = sizes.window
    scaling = sizes.rope_scaling
    if isinstance(scaling, LinearScaling):
        metadata |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(scaling.factor)}
    elif isinstance(scaling, YarnScaling):
        metadata |= {"rope.scaling.type": "yarn", "rope.scaling.factor": float(scaling.factor)}
    if isinstance(scaling, YarnScaling):
        metadata["rope.scaling.original_context_length"] = scaling.original
    full = {f"{arch}.{key}": value for key, value in metadata.items()}
    for key, field in _TOKENS.items():
        if isinstance(config.get(field), int):
            full[key] = config[field]
    _check_complete(spec, sizes, {"general.architecture": arch, **full})
    return full


def divisors(spec: FamilySpec, sizes: Sizes) -> np.ndarray | None:
    """Divisors [R/2] of the rotary frequencies, float32, for the scaling that GGUF states so."""
    if not isinstance(sizes.rope_scaling, Llama3Scaling):
        return None
    assert isinstance(spec.position, Rope)
    plain = inverse_frequencies(spec.position, replace(sizes, rope_scaling=None))
    found: np.ndarray = plain / inverse_frequencies(spec.position, sizes)
    return found.astype(np.float32)


def shortest(value: Any) -> float:
    """The shortest decimal that is this float32."""
    return float(str(np.float32(value)))


def file_metadata(reader: gguf.GGUFReader) -> dict[str, Any]:
    """Scalars and texts of a file's metadata; arrays (the tokenizer's) are left out."""
    found = {}
    for name, stored in reader.fields.items():
        kind = stored.types[0] if stored.types else None
        if kind is None or kind == gguf.GGUFValueType.ARRAY:
            continue
        value = stored.contents()
        found[name] = shortest(value) if kind == gguf.GGUFValueType.FLOAT32 else value
    return found


def _stated_scaling(metadata: Mapping[str, Any], arch: str) -> dict[str, Any]:
    kind = metadata.get(f"{arch}.rope.scaling.type", "none")
    factor = metadata.get(f"{arch}.rope.scaling.factor", 1.0)
    if kind == "none" or factor == 1:
        return {}
    original = metadata.get(f"{arch}.rope.scaling.original_context_length")
    stated = {"rope_type": kind, "factor": factor}
    return stated | ({"original_max_position_embeddings": original} if original else {})


def _llama3(config: Mapping[str, Any], frequencies: np.ndarray) -> dict[str, Any]:
    """The scaling that divides the frequencies so; a file holds the divisors, not their rule."""
    factor = shortest(frequencies.max())
    stated = {"rope_type": "llama3", "factor": factor, **_BAND}
    spec = detect(config)
    sizes = read_sizes(spec, config)
    assert isinstance(spec.position, Rope)
    plain = inverse_frequencies(spec.position, sizes)
    between = (frequencies > 1) & (frequencies < factor)
    original = _ORIGINAL
    if plain.shape == frequencies.shape and between.any():
        # Solved for the length: between the bands 1/divisor = (1 - s) / factor + s, where
        # s = (length / wavelength - low) / (high - low).
        low, high = _BAND["low_freq_factor"], _BAND["high_freq_factor"]
        step = (1 / frequencies[between] - 1 / factor) / (1 - 1 / factor)
        lengths = (low + step * (high - low)) * 2 * np.pi / plain[between]
        original = round(float(np.median(lengths)))
    scaling = {**stated, "original_max_position_embeddings": original}
    expected = divisors(spec, read_sizes(spec, {**config, "rope_scaling": scaling}))
    assert expected is not None
    same = expected.shape == frequencies.shape
    if same and np.allclose(expected, frequencies, rtol=1e-4):
        return scaling
    message = (
        "The file divides its rotary frequencies (rope_freqs.weight) in another way than LLaMA 3.1 "
        "does, which is not supported. Convert the model from its original files."
    )
    raise FileFormatError(message)


def _check_complete(spec: FamilySpec, sizes: Sizes, metadata: Mapping[str, Any]) -> None:
    """What is read back must be the same model; GGUF states less than a config.json."""
    rounded = {n: shortest(v) if isinstance(v, float) else v for n, v in metadata.items()}
    config = config_of(rounded, sizes.vocab, divisors(spec, sizes), tied=sizes.tied)
    found = detect(config)
    # Mistral without a window is LLaMA, but for its name.
    lost = [] if replace(found, name=spec.name) == spec else [f"the variant of {spec.name}"]
    if not lost:
        back = read_sizes(found, config)
        lost = [name for name, value in vars(sizes).items() if getattr(back, name) != value]
    if lost:
        message = (
            f"GGUF files of {spec.name} have no place for {', '.join(lost)} of this model. Write "
            "the layout hf instead."
        )
        raise ConvertError(message)
