"""The pairs of an adapter as the modules of a file have them, fused where the file fuses.

Where weights that were adapted apart are fused, their pairs become one pair of block form with the
ranks added: the product is the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from llm_convert.errors import AdapterError
from llm_convert.layout import Layout, StoredTensor
from llm_convert.lora.adapter import LoraAdapter, Pair
from llm_kernels.families import parameters


class AdaptedModule(NamedTuple):
    """The pair of one module: A [in, r], B [r, out] and what their product is scaled by."""

    a: np.ndarray
    b: np.ndarray
    scaling: float


def adapted_modules(layout: Layout, adapter: LoraAdapter) -> dict[str, AdaptedModule]:
    """Module name -> its pair, in forward order.

    Raises AdapterError for pairs of weights that the family does not have.
    """
    unknown = [key.name for key in adapter.pairs if key not in layout.source]
    if unknown:
        message = (
            f"The family {layout.spec.name} has no weights {', '.join(unknown[:10])} to adapt."
        )
        raise AdapterError(message)
    return {
        name.removesuffix(".weight"): _joined(layout, stored, adapter)
        for name, stored in layout.tensors.items()
        if any(key in adapter.pairs for key in stored.parts)
    }


def scaled(module: AdaptedModule, scaling: float) -> Pair:
    """A and B for another scaling; B is multiplied where it has to be."""
    if module.scaling == scaling:
        return module.a, module.b
    factor = np.float32(module.scaling / scaling)
    return module.a, (module.b * factor).astype(module.b.dtype, copy=False)


def replaced_tensors(layout: Layout, adapter: LoraAdapter) -> dict[str, np.ndarray]:
    """Stored name -> tensor, for all parameters that the adapter holds in full."""
    tensors = {}
    for name, stored in layout.tensors.items():
        if all(key in adapter.replaced for key in stored.parts):
            array = layout.encode(name, adapter.replaced.__getitem__)
            assert isinstance(array, np.ndarray)
            tensors[name] = array
    return tensors


def _joined(layout: Layout, stored: StoredTensor, adapter: LoraAdapter) -> AdaptedModule:
    present = [key for key in stored.parts if key in adapter.pairs]
    scalings = {adapter.scaling_of(key) for key in present}
    common = scalings.pop() if len(scalings) == 1 else adapter.scaling
    shapes = parameters(layout.spec, layout.sizes)
    dtype = np.result_type(*(matrix for key in present for matrix in adapter.pairs[key]))
    pairs = []
    for key in stored.parts:
        outputs, inputs = shapes[key]
        a, b = np.zeros((inputs, 0), dtype), np.zeros((0, outputs), dtype)
        if key in adapter.pairs:
            own = AdaptedModule(*adapter.pairs[key], adapter.scaling_of(key))
            a, b = scaled(own, common)
        rows = b.T
        if stored.rope_pairs is not None:
            rows = stored.rope_pairs.from_half(rows)
        pairs.append((a, rows))
    first = pairs[0][0]
    if stored.fusion is None:
        return AdaptedModule(first, pairs[0][1].T, common)
    if all(a.shape == first.shape and np.array_equal(a, first) for a, _ in pairs):
        rows = stored.fusion.join([rows for _, rows in pairs])
        return AdaptedModule(first, rows.T, common)
    return AdaptedModule(*_block_form(stored, pairs), common)


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
