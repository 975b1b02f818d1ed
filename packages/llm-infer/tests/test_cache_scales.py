"""Scales of a static int8 cache from the file that calibration writes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llm_convert.model import open_model
from llm_infer.cache_scales import read_cache_scales
from llm_infer.errors import InferError


def written(folder, heads, layers=3, **changes):
    content = {
        f"llama.layers.{layer}.self_attn.cache{which}_matmul.activation_quanter": heads(layer)
        for layer in range(layers)
        for which in "kv"
    }
    (folder / "cachekv_scales.json").write_text(json.dumps({**content, **changes}))


def test_a_number_a_head_of_every_query_or_one_for_all(golden, tmp_path):
    sizes = open_model(golden / "llama_v2_gqa").sizes
    assert (sizes.layers, sizes.heads, sizes.kv_heads) == (3, 4, 2)
    written(tmp_path, lambda layer: [1.0 + layer, 2.0, 3.0, 4.0])
    scales = read_cache_scales(tmp_path, sizes)
    # Of the query heads that share a KV head, the largest counts; 127 steps reach it.
    np.testing.assert_allclose(scales.keys * 127, [[2, 4], [2, 4], [3, 4]], rtol=1e-6)
    np.testing.assert_array_equal(scales.keys, scales.values)
    written(tmp_path, lambda layer: 5.0)
    np.testing.assert_allclose(read_cache_scales(tmp_path, sizes).values * 127, 5, rtol=1e-6)


def test_what_is_missing_or_broken_is_named(golden, tmp_path):
    sizes = open_model(golden / "llama_v2_gqa").sizes
    with pytest.raises(InferError, match=r"N\.cachek_matmul.*dynamic needs none"):
        read_cache_scales(tmp_path, sizes)
    written(tmp_path, lambda layer: [1.0] * 4, layers=2)
    with pytest.raises(InferError, match="no cachek_matmul of layer 2"):
        read_cache_scales(tmp_path, sizes)
    (tmp_path / "cachekv_scales.json").write_text("{")
    with pytest.raises(InferError, match="cannot be read"):
        read_cache_scales(tmp_path, sizes)
    odd = {"llama.layers.1.self_attn.cachev_matmul.activation_quanter": [1.0] * 3}
    written(tmp_path, lambda layer: [1.0] * 4, **odd)
    with pytest.raises(InferError, match="layer 1 has 3 heads, others 4"):
        read_cache_scales(tmp_path, sizes)
