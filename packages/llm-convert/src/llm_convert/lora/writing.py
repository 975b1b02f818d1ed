"""Write an adapter as PaddleNLP does: `lora_config.json` and `lora_model_state.pdparams`.

PaddleNLP knows one rank for all modules. Where its file fuses weights that were adapted apart
(q, k and v of Bloom), their pairs become one pair of block form with the ranks added, and smaller
pairs are filled with zeros: the product is the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from llm_cli.outputs import written_file
from llm_convert.errors import AdapterError
from llm_convert.files.dtypes import floating
from llm_convert.files.pdparams import write_pdparams
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.layout import Layout, StoredTensor, half_to_pairs
from llm_convert.lora.adapter import LoraAdapter, Pair
from llm_kernels.families import FamilySpec, Sizes, parameters

CONFIG_FILE = "lora_config.json"
WEIGHTS_FILE = "lora_model_state.pdparams"


def write_lora(
    folder: str | Path,
    adapter: LoraAdapter,
    *,
    spec: FamilySpec,
    sizes: Sizes,
    dtype: str = "float32",
    base_model_name_or_path: str | None = None,
    lora_dropout: float = 0.0,
) -> None:
    """Write an adapter into an existing folder.

    Args:
        spec, sizes: of the base model, whose module names the file uses.
        dtype: "float32", "float16" or "bfloat16".
        base_model_name_or_path, lora_dropout: noted in lora_config.json.

    Raises:
        AdapterError: the adapter has pairs for weights that the family does not have.
    """
    folder = Path(folder)
    layout = Layout.of(spec, sizes, "paddlenlp")
    unknown = [key.name for key in adapter.pairs if key not in layout.source]
    if unknown:
        message = f"The family {spec.name} has no weights {', '.join(unknown[:10])} to adapt."
        raise AdapterError(message)
    modules = _modules(layout, adapter)
    rank = max((a.shape[1] for a, _ in modules.values()), default=adapter.rank)
    target = floating(dtype)
    tensors: dict[str, np.ndarray] = {}
    for stem, (a, b) in modules.items():
        missing = rank - a.shape[1]
        tensors[f"{stem}.lora_A"] = np.pad(a, ((0, 0), (0, missing))).astype(target)
        tensors[f"{stem}.lora_B"] = np.pad(b, ((0, missing), (0, 0))).astype(target)
    for name, stored in layout.tensors.items():
        if all(key in adapter.replaced for key in stored.parts):
            array = layout.encode(name, adapter.replaced.__getitem__)
            assert isinstance(array, np.ndarray)
            tensors[name] = array.astype(target)
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in tensors.items()}
    write_pdparams(folder / WEIGHTS_FILE, infos, tensors.__getitem__)
    config = _config(adapter, rank, list(modules), layout, dtype)
    config |= {"base_model_name_or_path": base_model_name_or_path, "lora_dropout": lora_dropout}
    config["trainable_modules"] = [
        f".*{re.escape(name.removesuffix('.weight'))}.*"
        for name in tensors
        if not name.endswith((".lora_A", ".lora_B"))
    ] or None
    with written_file(folder / CONFIG_FILE) as stream:
        stream.write((json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


def _modules(layout: Layout, adapter: LoraAdapter) -> dict[str, Pair]:
    """Module name -> its pair, scaled so that the adapter's one scaling holds for all."""
    modules = {}
    for name, stored in layout.tensors.items():
        if any(key in adapter.pairs for key in stored.parts):
            modules[name.removesuffix(".weight")] = _joined(layout, stored, adapter)
    return modules


def _joined(layout: Layout, stored: StoredTensor, adapter: LoraAdapter) -> Pair:
    shapes = parameters(layout.spec, layout.sizes)
    pairs = []
    for key in stored.parts:
        outputs, inputs = shapes[key]
        nothing = np.zeros((inputs, 0), np.float32), np.zeros((0, outputs), np.float32)
        a, b = adapter.pairs.get(key, nothing)
        factor = adapter.scaling_of(key) / adapter.scaling
        rows = b.T if factor == 1 else b.T * np.float32(factor)
        if stored.rope_pairs:
            rows = half_to_pairs(rows, layout.sizes.head_dim)
        pairs.append((a, rows))
    if stored.fusion is None:
        ((a, rows),) = pairs
        return a, rows.T
    first = pairs[0][0]
    if all(a.shape == first.shape and np.array_equal(a, first) for a, _ in pairs):
        return first, stored.fusion.join([rows for _, rows in pairs]).T
    return _block_form(stored, pairs)


def _block_form(stored: StoredTensor, pairs: list[Pair]) -> Pair:
    """A = [A1 | A2 | ...], and B with each part's rows at its own ranks, zero elsewhere."""
    assert stored.fusion is not None
    rank = sum(a.shape[1] for a, _ in pairs)
    parts, start = [], 0
    for a, rows in pairs:
        wide = np.zeros((rows.shape[0], rank), rows.dtype)
        wide[:, start : start + a.shape[1]] = rows
        parts.append(wide)
        start += a.shape[1]
    return np.concatenate([a for a, _ in pairs], axis=1), stored.fusion.join(parts).T


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
