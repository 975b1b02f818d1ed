"""Shares of ranks: inverse of each other, heads whole, and what cannot be shared told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_convert.errors import ConvertError
from llm_convert.files.json_file import read_json
from llm_convert.layout import Layout
from llm_convert.names import checkpoint
from llm_convert.parallel.splitting import Split, split_of
from llm_kernels.families import detect, read_sizes

FAMILIES = (
    *("baichuan_7b", "bloom", "chatglm", "chatglm2", "glm", "gpt2", "llama_v2_gqa", "mistral"),
    *("mixtral", "opt", "qwen", "qwen2", "qwen2_moe", "qwen3"),
)


def layouts(golden: Path, family: str) -> list[Layout]:
    config = read_json(golden / family / "config.json")
    spec = detect(config)
    sizes = read_sizes(spec, config)
    forms = checkpoint(spec, "paddlenlp").forms()
    return [Layout.of(spec, sizes, "paddlenlp", form) for form in forms]


@pytest.mark.parametrize("family", FAMILIES)
def test_shares_put_together_are_the_whole(golden: Path, family: str) -> None:
    rng = np.random.default_rng(0)
    for layout in layouts(golden, family):
        count = 0
        for stored in layout.tensors.values():
            split = split_of(stored, layout.checkpoint, layout.sizes, 2)
            if split is None:
                continue
            count += 1
            whole = rng.standard_normal(stored.shape)
            shares = [split.share(whole, rank) for rank in range(2)]
            assert shares[0].shape == shares[1].shape == split.share_shape(stored.shape)
            merged = np.full(stored.shape, np.nan)
            for rank, share in enumerate(shares):
                split.put(merged, share, rank)
            np.testing.assert_array_equal(merged, whole)
        # At least the embedding, and in every layer q (or qkv), out and the feed-forward block.
        assert count >= 1 + 4 * layout.sizes.layers


def test_a_split_of_two_parts() -> None:
    split = Split(1, (((0, 1), (2, 4)), ((1, 2), (4, 6))))
    whole = np.array([[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]])
    np.testing.assert_array_equal(split.share(whole, 1), [[1, 4, 5], [7, 10, 11]])
    assert split.width == 3


def at(golden: Path, family: str, ending: str, degree: int, form: int = 0) -> Any:
    layout = layouts(golden, family)[form]
    name = next(name for name in layout.tensors if name.endswith(ending))
    return split_of(layout.tensors[name], layout.checkpoint, layout.sizes, degree)


def test_what_every_rank_holds_in_full(golden: Path) -> None:
    assert at(golden, "llama_v2_gqa", "q_proj.weight", 1) is None
    assert at(golden, "llama_v2_gqa", "layers.0.input_layernorm.weight", 2) is None
    assert at(golden, "llama_v2_gqa", "k_proj.weight", 4) is None  # 2 KV heads
    assert at(golden, "llama_v2_gqa", "embed_tokens.weight", 3) is None  # 256 rows
    assert at(golden, "gpt2", "out_proj.bias", 2) is None
    assert at(golden, "gpt2", "linear1.bias", 2) is not None


def test_what_cannot_be_shared(golden: Path) -> None:
    with pytest.raises(ConvertError, match=r"q_proj\.weight: 4 \(heads\) .* by 3 ranks.*: 1, 2, 4"):
        at(golden, "llama_v2_gqa", "q_proj.weight", 3)
    with pytest.raises(ConvertError, match=r"mlp\.gate_proj.*cannot be shared evenly by 8 ranks"):
        at(golden, "llama_v2_gqa", "gate_proj.weight", 8)
    with pytest.raises(ConvertError, match=r"qkv_proj.*2 \(KV heads\) cannot be shared"):
        at(golden, "llama_v2_gqa", "qkv_proj.weight", 4, form=1)
