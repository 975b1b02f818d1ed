"""Write an adapter as Hugging Face PEFT does: adapter_config.json and adapter_model.safetensors.

PEFT states another rank or alpha of single modules by patterns, so every pair is written as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from llm_cli.outputs import written_file
from llm_convert.files.dtypes import floating
from llm_convert.files.narrowing import narrowed
from llm_convert.files.safetensors import write_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.layout import Layout
from llm_convert.lora.adapter import LoraAdapter
from llm_convert.lora.modules import AdaptedModule, adapted_modules, replaced_tensors
from llm_kernels.families import FamilySpec, Sizes

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PREFIX = "base_model.model."


def write_peft(
    folder: str | Path,
    adapter: LoraAdapter,
    *,
    spec: FamilySpec,
    sizes: Sizes,
    dtype: str | None = None,
    base_model_name_or_path: str | None = None,
    lora_dropout: float = 0.0,
) -> None:
    """Write an adapter into an existing folder.

    Args:
        spec, sizes: of the base model, whose module names on the hub the file uses.
        dtype: "float32", "float16" or "bfloat16"; None: every tensor keeps its own.
        base_model_name_or_path, lora_dropout: noted in adapter_config.json.

    Raises:
        AdapterError: the adapter has pairs for weights that the family does not have.
    """
    folder = Path(folder)
    layout = Layout.of(spec, sizes, "hf")
    modules = adapted_modules(layout, adapter)
    replaced = replaced_tensors(layout, adapter)
    tensors: dict[str, np.ndarray] = {}
    for stem, module in modules.items():
        tensors[f"{PREFIX}{stem}.lora_A.weight"] = module.a.T
        tensors[f"{PREFIX}{stem}.lora_B.weight"] = module.b.T
    for name, array in replaced.items():
        stem, _, leaf = name.rpartition(".")
        tensors[f"{PREFIX}{stem}{'.base_layer' if stem in modules else ''}.{leaf}"] = array
    target = None if dtype is None else floating(dtype)
    tensors = {
        name: np.ascontiguousarray(array if target is None else narrowed(name, array, target))
        for name, array in tensors.items()
    }
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in tensors.items()}
    write_safetensors(folder / WEIGHTS_FILE, infos, tensors.__getitem__, metadata={"format": "pt"})
    config = _config(adapter, modules, replaced, layout)
    config |= {"base_model_name_or_path": base_model_name_or_path, "lora_dropout": lora_dropout}
    with written_file(folder / CONFIG_FILE) as stream:
        stream.write((json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


def _config(
    adapter: LoraAdapter,
    modules: Mapping[str, AdaptedModule],
    replaced: Iterable[str],
    layout: Layout,
) -> dict[str, Any]:
    root = bool(adapter.config.get("rslora") or adapter.config.get("use_rslora"))
    ranks, alphas = {}, {}
    for stem, module in modules.items():
        rank = module.a.shape[1]
        alpha = module.scaling * (sqrt(rank) if root else rank)
        if rank != adapter.rank:
            ranks[re.escape(stem)] = rank
        # Scaling and alpha are only quotient and product of each other up to rounding.
        if not np.isclose(alpha, adapter.alpha, rtol=1e-12):
            alphas[re.escape(stem)] = _plain(round(alpha, 12))
    known = [name.rpartition(".")[0] for name in layout.tensors if name.endswith(".weight")]
    whole = {name.rpartition(".")[0] for name in replaced if name.endswith(".weight")}
    biases = any(
        name.endswith(".bias") and name.rpartition(".")[0] not in whole for name in replaced
    )
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "inference_mode": True,
        "r": adapter.rank,
        "lora_alpha": _plain(adapter.alpha),
        "use_rslora": root,
        "use_dora": False,
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "target_modules": _suffixes(modules, known),
        "modules_to_save": _suffixes(whole, known) or None,
        "bias": "all" if biases else "none",
        "fan_in_fan_out": layout.checkpoint.linear == "in_out",
    }


def _plain(number: float) -> float:
    return int(number) if number == int(number) else number


def _suffixes(chosen: Iterable[str], known: Iterable[str]) -> list[str]:
    """The shortest names that mean exactly these modules, as PEFT reads them: by their end."""
    chosen = set(chosen)
    rest = set(known) - chosen
    names = set()
    for module in chosen:
        parts = module.split(".")
        ends = (".".join(parts[start:]) for start in range(len(parts) - 1, 0, -1))
        short = (end for end in ends if not any(other.endswith(f".{end}") for other in rest))
        names.add(next((end for end in short if not re.search(r"\d", end)), module))
    return sorted(names)
