"""Which table and which class a config.json describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from llm_convert.encoders.names import ENCODERS
from llm_convert.encoders.table import Encoder, Head
from llm_convert.errors import ConvertError


class Found(NamedTuple):
    """A model class: its table, the hub's name of the class, and its parts."""

    encoder: Encoder
    hub_class: str
    head: Head


# Both ecosystems' names of each class.
_CLASSES: Mapping[str, Found] = {
    name: Found(encoder, hub_class, head)
    for encoder in ENCODERS
    for hub_class, head in encoder.classes.items()
    for name in (hub_class, head.paddle)
}


def find_encoder(config: Mapping[str, Any]) -> Found | None:
    """The class that `architectures` names; without any, the base model of `model_type`.

    None for a model of another kind. Raises ConvertError for a class that the other ecosystem does
    not have, listing those that both have.
    """
    named = config.get("architectures") or ()
    for name in named:
        if name in _CLASSES:
            return _CLASSES[name]
    tables = [encoder for encoder in ENCODERS if encoder.model_type == config.get("model_type")]
    if not tables:
        return None
    (encoder,) = tables
    if named:
        message = (
            f"The class {named[0]} has no counterpart in the other layout, so its head would be "
            f"lost. Of model_type {encoder.model_type!r}, these can be converted: "
            f"{', '.join(encoder.classes)}."
        )
        raise ConvertError(message)
    hub_class = next(name for name, head in encoder.classes.items() if head.bare)
    return Found(encoder, hub_class, encoder.classes[hub_class])
