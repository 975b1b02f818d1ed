"""config.json of an encoder as each ecosystem's tools read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_convert.config import DTYPE_FIELD, ORIGIN, main_dtype
from llm_convert.encoders.checkpoint import EncoderCheckpoint
from llm_convert.encoders.table import Size
from llm_convert.files.tensor_file import TensorInfo

_CLASS, _TYPE, _ADDED = "architectures", "model_type", "added"


def config_for_encoder(
    checkpoint: EncoderCheckpoint,
    naming: str,
    tensors: Mapping[str, TensorInfo],
    notes: Mapping[str, Any],
    *,
    untied: bool,
) -> dict[str, Any]:
    """The configuration for `naming`'s tools; the same class is found in it again.

    Args:
        tensors: what will be written; the element type that most of it has is stated.
        notes: what the hub's files were like, kept for the way back.
        untied: tensors that the hub would tie differ, which config.json must then say.
    """
    replaced = (*DTYPE_FIELD.values(), ORIGIN)
    config = {name: value for name, value in checkpoint.config.items() if name not in replaced}
    origin = dict(checkpoint.origin)
    if naming == checkpoint.naming:
        pass
    elif naming == "paddlenlp":
        origin = {**_to_paddlenlp(checkpoint, config), **notes}
    else:
        _to_hub(checkpoint, config)
        origin = {}
    if untied:
        config["tie_word_embeddings"] = False
    if origin:
        config[ORIGIN] = origin
    dtype = main_dtype(tensors)
    if dtype:
        config[DTYPE_FIELD[naming]] = dtype
    return config


def _to_paddlenlp(checkpoint: EncoderCheckpoint, config: dict[str, Any]) -> dict[str, Any]:
    """Change a configuration for PaddleNLP; what the way back needs."""
    encoder, _, head = checkpoint.found
    origin: dict[str, Any] = {}
    if config.get(_CLASS) != [head.paddle] or head.hub:
        origin[_CLASS] = config.get(_CLASS)
        config[_CLASS] = [head.paddle]
    if encoder.hub_type:
        origin[_TYPE] = config.get(_TYPE)
        config[_TYPE] = encoder.model_type
    added = {
        paddle: config[hub]
        for hub, paddle in encoder.fields.items()
        if config.get(hub) is not None and paddle not in config
    }
    added |= {
        size.factors[0][0]: size.default
        for size in encoder.sizes.values()
        if isinstance(size, Size)
        and size.default is not None
        and not size.within
        and not any(config.get(name) is not None for name in size.factors[0])
    }
    config.update(added)
    return {**origin, _ADDED: sorted(added)} if added else origin


def _to_hub(checkpoint: EncoderCheckpoint, config: dict[str, Any]) -> None:
    encoder, hub_class, head = checkpoint.found
    origin = checkpoint.origin
    config[_CLASS] = [head.hub or hub_class]
    if encoder.hub_type:
        config[_TYPE] = encoder.hub_type
    for field in (_CLASS, _TYPE):
        if field in origin:
            config[field] = origin[field]
        if config.get(field) is None:
            config.pop(field, None)
    for field in origin.get(_ADDED, ()):
        config.pop(field, None)
    for hub, paddle in encoder.fields.items():
        if paddle in config and hub not in config:
            config[hub] = config.pop(paddle)
