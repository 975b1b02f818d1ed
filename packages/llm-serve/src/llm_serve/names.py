"""The names that a request's `model` may be, and what each stands for.

The served name is the model as `llm infer` runs it where nothing is chosen: with the only adapter
and the only tuned prefix there is, or, of several, the one that was given without a name. Every
NAME=PATH of --lora_path and --prefix_path is a further name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from llm_infer.named_paths import UNNAMED, named_paths
from llm_serve.errors import ServeError
from llm_serve.options import ServeOptions


@dataclass(frozen=True)
class Variant:
    """What stands beside the weights: names of a LoRA adapter and of a tuned prefix."""

    adapter: str | None = None
    prefix: str | None = None


def variants(options: ServeOptions) -> dict[str, Variant]:
    """Every name and its variant, the served name first.

    Raises ServeError for a name that stands for two things, and what `named_paths` raises.
    """
    assert options.served_model_name is not None
    adapters = named_paths("lora_path", options.lora_path)
    prefixes = named_paths("prefix_path", options.prefix_path)
    # A single adapter is merged into the weights: nothing is left to choose.
    beside: Mapping[str, str] = adapters if len(adapters) > 1 else {}
    plain = Variant(_usual(beside), _usual(prefixes))
    found = {options.served_model_name: plain}
    for name in adapters:
        _add(found, name, replace(plain, adapter=name if name in beside else None))
    for name in prefixes:
        _add(found, name, replace(plain, prefix=name))
    return found


def _usual(names: Iterable[str]) -> str | None:
    known = list(names)
    if len(known) == 1:
        return known[0]
    return UNNAMED if UNNAMED in known else None


def _add(found: dict[str, Variant], name: str, variant: Variant) -> None:
    if name == UNNAMED:
        return
    if name in found:
        message = (
            f"{name!r} names two of: the served model, --lora_path, --prefix_path. Requests could "
            "not tell them apart; choose another NAME=PATH, or --served_model_name."
        )
        raise ServeError(message)
    found[name] = variant
