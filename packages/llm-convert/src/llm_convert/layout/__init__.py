"""Layouts of checkpoints: fused, transposed and rotated weights, each with its inverse.

    layout = layout_of_files(spec, sizes, shapes)    # which form they hold; all errors at once
    weight = layout.decode(key, tensors)             # one canonical parameter, lazily
    layout = Layout.of(spec, sizes, "paddlenlp")
    tensor = layout.encode(name, get)                # one tensor to store

It knows nothing of files: `tensors` is any mapping from stored names to arrays or packed weights.
"""

from __future__ import annotations

from llm_convert.layout.model_layout import Layout, layout_of_files
from llm_convert.layout.stored import StoredTensor, stored_tensors
from llm_convert.layout.transforms import (
    Interleaving,
    RotaryPairs,
    Weight,
    half_to_pairs,
    join_rows,
    on_rows,
    pairs_to_half,
    transpose,
)

__all__ = [
    "Interleaving",
    "Layout",
    "RotaryPairs",
    "StoredTensor",
    "Weight",
    "half_to_pairs",
    "join_rows",
    "layout_of_files",
    "on_rows",
    "pairs_to_half",
    "stored_tensors",
    "transpose",
]
