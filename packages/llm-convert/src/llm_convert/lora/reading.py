"""LoRA checkpoints of PaddleNLP (`lora_config.json`) and Hugging Face PEFT (`adapter_config.json`).

Both name modules as their own model files do; the tables of llm_convert.names turn these into
canonical keys, splitting adapters of fused modules. What is not plain LoRA (DoRA, PiSSA, MoRA, ...)
is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from llm_convert.errors import AdapterError
from llm_convert.files.folder import open_weights
from llm_convert.files.json_file import read_json
from llm_convert.layout import Layout, StoredTensor
from llm_convert.lora.adapter import LoraAdapter, Pair
from llm_convert.model import Model
from llm_convert.names import checkpoints
from llm_kernels.families import ParameterKey
from llm_kernels.families.fields import is_number

_LONGEST = 200
# A quantifier behind a group, or behind another quantifier.
_REPEATED = re.compile(r"[)*+?}][*+{]")


@dataclass(frozen=True)
class _Kind:
    """One ecosystem's adapter files.

    `a`, `b`: what follows the module's name; `turned`: its A and B are [r, in] and [out, r].
    `refused`: options that change the formula, and the value under which they do not.
    """

    config: str
    weights: tuple[str, ...]
    naming: str
    prefix: str
    a: str
    b: str
    turned: bool
    refused: Mapping[str, tuple[Any, ...]]


KINDS = (
    _Kind(
        config="lora_config.json",
        weights=("lora_model_state.pdparams", "peft_model.safetensors"),
        naming="paddlenlp",
        prefix="",
        a=".lora_A",
        b=".lora_B",
        turned=False,
        refused=MappingProxyType(
            {
                "pissa": (False, None),
                "loraga": (False, None),
                "use_mora": (False, None),
                "lora_use_mixer": (False, None),
                "do_qat": (False, None),
                "enable_lora_list": (None,),
                "tensor_parallel_degree": (-1, 0, 1, None),
            }
        ),
    ),
    _Kind(
        config="adapter_config.json",
        weights=("adapter_model.safetensors", "adapter_model.bin"),
        naming="hf",
        prefix="base_model.model.",
        a=".lora_A.weight",
        b=".lora_B.weight",
        turned=True,
        refused=MappingProxyType(
            {
                "peft_type": ("LORA",),
                "use_dora": (False, None),
                "lora_bias": (False, None),
                "use_qalora": (False, None),
                "alora_invocation_tokens": (None,),
                "layer_replication": (None,),
                "target_parameters": (None,),
                "trainable_token_indices": (None,),
            }
        ),
    ),
)


def is_lora(folder: str | Path) -> bool:
    """Whether a folder holds a LoRA configuration of either ecosystem."""
    return adapter_naming(folder) is not None


def adapter_naming(folder: str | Path) -> str | None:
    """Whose adapter a folder holds: "paddlenlp", "hf" (Hugging Face PEFT), or None."""
    return next((kind.naming for kind in KINDS if (Path(folder) / kind.config).is_file()), None)


def adapter_config(folder: str | Path) -> dict[str, Any]:
    """The configuration of an adapter; empty where there is none. Raises FileFormatError."""
    paths = (Path(folder) / kind.config for kind in KINDS)
    return next((read_json(path) for path in paths if path.is_file()), {})


def read_lora(folder: str | Path, model: Model) -> LoraAdapter:
    """Read an adapter that was trained on `model`.

    Raises:
        AdapterError: no adapter there, one that is not plain LoRA, incomplete pairs, or tensors
            that match no module of the model (all listed).
        FileFormatError, UnsafePickleError: a malformed file.
    """
    folder = Path(folder)
    kind = next((kind for kind in KINDS if (folder / kind.config).is_file()), None)
    if kind is None:
        message = (
            f"{folder} holds no LoRA adapter: looked for {' and '.join(k.config for k in KINDS)}."
        )
        raise AdapterError(message)
    config = read_json(folder / kind.config)
    _check_plain(folder, kind, config)
    files = open_weights(folder, kind.weights)
    # PEFT puts the linear that it wraps, and so its bias, below `base_layer`.
    tensors = {name.removeprefix(kind.prefix).replace(".base_layer.", "."): name for name in files}
    layout = _layout(folder, kind, model, tensors)
    rank, alpha = _number(folder, config, "r"), _number(folder, config, "lora_alpha")
    scale, rank_of = _scaling(folder, config), _ranks(folder, config)
    pairs: dict[ParameterKey, Pair] = {}
    scalings: dict[ParameterKey, float] = {}
    for stem, stored in _modules(layout, kind, tensors).items():
        a, b = files[tensors[stem + kind.a]], files[tensors[stem + kind.b]]
        if kind.turned:
            a, b = a.T, b.T
        _check_shapes(folder, stem, stored, a, b)
        _check_rank(folder, stem, a.shape[1], rank_of(stem))
        for key in stored.parts:
            pairs[key] = (a, _part_of(stored, key, b))
            factor = scale(stem)
            if factor != scale(""):
                scalings[key] = factor
    replaced = {
        key: np.asarray(layout.decode(key, {layout.names[full]: files[tensors[name]]}))
        for name, full in _replaced(layout, kind, tensors).items()
        for key in layout.tensors[full].parts
    }
    if not pairs and not replaced:
        message = f"{folder} holds an adapter without tensors, so it adapts nothing."
        raise AdapterError(message)
    return LoraAdapter(int(rank), alpha, scale(""), pairs, scalings, replaced, config)


def _check_plain(folder: Path, kind: _Kind, config: Mapping[str, Any]) -> None:
    wrong = [
        f"{name}={config[name]!r}"
        for name, plain in kind.refused.items()
        if name in config and config[name] not in plain
    ]
    if wrong:
        message = (
            f"{folder / kind.config} asks for {', '.join(wrong)}, which is not plain LoRA and is "
            "not supported. Merge this adapter with the tool that trained it."
        )
        raise AdapterError(message)


def _number(folder: Path, config: Mapping[str, Any], name: str) -> float:
    value = config.get(name)
    if not is_number(value) or value <= 0:
        message = (
            f"The configuration of {folder} has {name}={value!r}; a positive number is needed."
        )
        raise AdapterError(message)
    return value


def _scaling(folder: Path, config: Mapping[str, Any]) -> Callable[[str], float]:
    """Module name -> alpha / r (rslora: alpha / sqrt(r)), PEFT's rank and alpha patterns heeded."""
    root = config.get("use_rslora") or config.get("rslora")
    rank_of, alphas = _ranks(folder, config), _patterns(folder, config, "alpha_pattern")

    def scale(stem: str) -> float:
        rank, alpha = rank_of(stem), config["lora_alpha"]
        if stem:
            alpha = _first(alphas, stem, alpha)
        return alpha / sqrt(rank) if root else alpha / rank

    return scale


def _ranks(folder: Path, config: Mapping[str, Any]) -> Callable[[str], float]:
    """Module name -> its rank as stated; of "" that of modules without a pattern."""
    ranks = _patterns(folder, config, "rank_pattern")
    return lambda stem: _first(ranks, stem, config["r"]) if stem else config["r"]


def _first(patterns: Sequence[tuple[re.Pattern[str], float]], stem: str, default: float) -> float:
    return next((value for pattern, value in patterns if pattern.match(stem)), default)


def _check_rank(folder: Path, stem: str, found: int, stated: float) -> None:
    if found != stated:
        message = (
            f"{folder}: the configuration states rank {stated:g} for {stem}, its A and B have "
            f"rank {found}. Scaling by alpha / r would be wrong; correct r or rank_pattern, or "
            "take the configuration that this adapter was saved with."
        )
        raise AdapterError(message)


def _patterns(
    folder: Path, config: Mapping[str, Any], field: str
) -> list[tuple[re.Pattern[str], float]]:
    """PEFT's expressions for the end of a module's name, and the number of each."""
    patterns = []
    stated = config.get(field) or {}
    for suffix, value in stated.items() if isinstance(stated, Mapping) else [(stated, None)]:
        # A repeated group can take exponential time, and names of modules need none.
        plain = isinstance(suffix, str) and len(suffix) < _LONGEST and not _REPEATED.search(suffix)
        try:
            pattern = re.compile(rf"(.*\.)?({suffix})$") if plain else None
        except (re.error, OverflowError):
            pattern = None
        if pattern is None or not is_number(value) or value <= 0:
            message = (
                f"The configuration of {folder} has {field}={str(stated)[:100]}; names of modules, "
                "as plain expressions, with positive numbers are needed."
            )
            raise AdapterError(message)
        patterns.append((pattern, float(value)))
    return patterns


def _layout(folder: Path, kind: _Kind, model: Model, tensors: Mapping[str, str]) -> Layout:
    """The form of the model's files whose module names the adapter uses."""
    table = checkpoints(model.spec).get(kind.naming)
    forms = [
        Layout.of(model.spec, model.sizes, kind.naming, form)
        for form in (table.forms() if table else ())
    ]
    unknown: dict[int, list[str]] = {}
    for index, layout in enumerate(forms):
        known = {
            *(stem + end for stem in _modules(layout, kind, tensors) for end in (kind.a, kind.b)),
            *_replaced(layout, kind, tensors),
        }
        unknown[index] = [name for name in tensors if name not in known]
    best = min(unknown, key=lambda index: len(unknown[index]), default=None)
    if best is None or unknown[best]:
        names = unknown[best] if best is not None else list(tensors)
        message = (
            f"{len(names)} of {len(tensors)} tensors of the adapter {folder} match no module of "
            f"the model {model.path} ({model.spec.name}): {', '.join(names[:10])}"
            f"{', ...' if len(names) > 10 else ''}. Name the base model it was trained on."
        )
        raise AdapterError(message)
    return forms[best]


def _modules(layout: Layout, kind: _Kind, tensors: Mapping[str, str]) -> dict[str, StoredTensor]:
    """Module name -> stored weight, for all modules that have both A and B."""
    found = {}
    for name in tensors:
        if name.endswith(kind.a):
            stem = name.removesuffix(kind.a)
            full = _full(layout, stem + ".weight")
            if full is not None and stem + kind.b in tensors:
                found[stem] = layout.tensors[full]
    return found


def _replaced(layout: Layout, kind: _Kind, tensors: Mapping[str, str]) -> dict[str, str]:
    """Name -> full stored name, for all parameters that the adapter holds in full."""
    named = {name: _full(layout, name) for name in tensors if not name.endswith((kind.a, kind.b))}
    return {name: full for name, full in named.items() if full is not None}


def _full(layout: Layout, name: str) -> str | None:
    for full in (name, layout.checkpoint.optional_prefix + name):
        if full in layout.tensors:
            return full
    return None


def _check_shapes(
    folder: Path, stem: str, stored: StoredTensor, a: np.ndarray, b: np.ndarray
) -> None:
    outputs, inputs = stored.shape[::-1] if stored.transposed else stored.shape
    fits = a.ndim == b.ndim == 2 and (a.shape[0], b.shape[1]) == (inputs, outputs)
    if not fits or a.shape[1] != b.shape[0]:
        message = (
            f"{folder}: the adapter of {stem} has A {list(a.shape)} and B {list(b.shape)}; the "
            f"linear is [{inputs}, {outputs}]. Name the base model that it was trained on."
        )
        raise AdapterError(message)


def _part_of(stored: StoredTensor, key: ParameterKey, b: np.ndarray) -> np.ndarray:
    """The columns of B [r, out] that belong to one parameter of a fused weight."""
    rows = b.T
    if stored.fusion is not None:
        rows = stored.fusion.split(rows, stored.parts.index(key))
    if stored.rope_pairs is not None:
        rows = stored.rope_pairs.to_half(rows)
    return rows.T
