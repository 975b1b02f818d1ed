"""Write an adapter as PaddleNLP does: `lora_config.json` and `lora_model_state.pdparams`.

PaddleNLP knows one rank for all modules. Where its file fuses weights that were adapted apart
(q, k and v of Bloom), their pairs become one pair of block form with the ranks added, and smaller
pairs are filled with zeros: the product is the same. Other scalings than the adapter's are
multiplied into B.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from llm_cli.outputs import written_file
from llm_convert.files.dtypes import floating
from llm_convert.files.narrowing import narrowed
from llm_convert.files.pdparams import write_pdparams
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.layout import Layout
from llm_convert.lora.adapter import LoraAdapter
from llm_convert.lora.modules import adapted_modules, replaced_tensors, scaled
from llm_kernels.families import FamilySpec, Sizes

CONFIG_FILE = "lora_config.json"
WEIGHTS_FILE = "lora_model_state.pdparams"


def write_lora(
    folder: str | Path,
    adapter: LoraAdapter,
    *,
    spec: FamilySpec,
    sizes: Sizes,
    dtype: str | None = "float32",
    base_model_name_or_path: str | None = None,
    lora_dropout: float = 0.0,
) -> None:
    """Write an adapter into an existing folder.

    Args:
        spec, sizes: of the base model, whose module names the file uses.
        dtype: "float32", "float16" or "bfloat16"; None: every tensor keeps its own.
        base_model_name_or_path, lora_dropout: noted in lora_config.json.

    Raises:
        AdapterError: the adapter has pairs for weights that the family does not have.
    """
    folder = Path(folder)
    layout = Layout.of(spec, sizes, "paddlenlp")
    modules = adapted_modules(layout, adapter)
    rank = max((module.a.shape[1] for module in modules.values()), default=adapter.rank)
    tensors: dict[str, np.ndarray] = {}
    for stem, module in modules.items():
        a, b = scaled(module, adapter.scaling)
        missing = rank - a.shape[1]
        tensors[f"{stem}.lora_A"] = np.pad(a, ((0, 0), (0, missing)))
        tensors[f"{stem}.lora_B"] = np.pad(b, ((0, missing), (0, 0)))
    tensors |= replaced_tensors(layout, adapter)
    if dtype is not None:
        target = floating(dtype)
        tensors = {name: narrowed(name, array, target) for name, array in tensors.items()}
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in tensors.items()}
    write_pdparams(folder / WEIGHTS_FILE, infos, tensors.__getitem__)
    config = _config(adapter, rank, list(modules), layout, stated_dtype(tensors))
    config |= {"base_model_name_or_path": base_model_name_or_path, "lora_dropout": lora_dropout}
    config["trainable_modules"] = [
        f".*{re.escape(name.removesuffix('.weight'))}.*"
        for name in tensors
        if not name.endswith((".lora_A", ".lora_B"))
    ] or None
    with written_file(folder / CONFIG_FILE) as stream:
        stream.write((json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


def stated_dtype(tensors: Mapping[str, np.ndarray]) -> str:
    """The type that most of the tensors have."""
    ((name, _),) = Counter(array.dtype.name for array in tensors.values()).most_common(1)
    return name


def _config(
    adapter: LoraAdapter, rank: int, modules: list[str], layout: Layout, dtype: str
) -> dict[str, Any]:
    root = bool(adapter.config.get("rslora") or adapter.config.get("use_rslora"))
    alpha = adapter.alpha
    if rank != adapter.rank:
        alpha = adapter.scaling * (sqrt(rank) if root else rank)
    return {
        "r": rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "scaling": adapter.scaling,
        "rslora": root,
        "target_modules": _patterns(modules, layout),
        "dtype": dtype,
        "trainable_bias": None,
        "enable_lora_list": None,
        "merge_weights": False,
        "tensor_parallel_degree": -1,
        "head_dim": None,
        "do_qat": False,
        "pissa": False,
        "lora_plus_scale": 1.0,
        "use_quick_lora": False,
    }


def _patterns(modules: Sequence[str], layout: Layout) -> list[str]:
    """Regular expressions that match exactly these modules, by layer only where layers differ."""
    wanted = _by_pattern(modules)
    everything = _by_pattern(
        [name.removesuffix(".weight") for name in layout.tensors if name.endswith(".weight")]
    )
    patterns = []
    for pattern, names in wanted.items():
        whole = len(names) == len(everything[pattern])
        patterns += [pattern] if whole else [re.escape(name) for name in names]
    return sorted(patterns)


def _by_pattern(modules: Sequence[str]) -> dict[str, list[str]]:
    """Modules that differ only in the numbers of layer and expert, under their expression."""
    found: dict[str, list[str]] = {}
    for name in modules:
        pattern = re.sub(r"\\\.\d+(?=\\\.)", lambda _: r"\.\d+", re.escape(name))
        found.setdefault(pattern, []).append(name)
    return found
