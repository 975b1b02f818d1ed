"""Shards that PaddleNLP's own split functions make: merged, read and made again, bit by bit.

PaddleNLP's mappings do not name every tensor that its classes split (a head that is not tied, fused
weights of some families); those are split here as the classes hold them, along `BY_CLASS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_convert.files.pdparams import open_pdparams, write_pdparams
from llm_convert.files.safetensors import open_safetensors, write_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.model import open_model
from llm_convert.parallel.writing import merge_model, split_bytes, split_model

pytest.importorskip("paddlenlp", reason="needs paddlenlp, whose split functions are the oracle")

# Tiny models, as PaddleNLP's classes name their sizes; what every case of a structure shares.
SIZES = json.loads((Path(__file__).parent / "paddlenlp_sizes.json").read_text())
BASE: dict[str, Any] = SIZES["base"]
GROUPED = {**BASE, "num_key_value_heads": 2}
FUSED = {"fuse_attention_qkv": True, "fuse_attention_ffn": True}
EXPERTS = SIZES["experts"]
QWEN = {**BASE, **SIZES["qwen"]}
OPT = {**BASE, "tie_word_embeddings": False}
MIXTRAL = {**GROUPED, **SIZES["mixtral"]}
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "llama": ("LlamaForCausalLM", GROUPED, 2),
    "llama, fewer KV heads than ranks": ("LlamaForCausalLM", GROUPED, 4),
    "llama, 97 words": ("LlamaForCausalLM", {**GROUPED, "vocab_size": 97}, 2),
    "llama fused": ("LlamaForCausalLM", {**GROUPED, **FUSED}, 2),
    "llama fused attention": ("LlamaForCausalLM", {**GROUPED, "fuse_attention_qkv": True}, 2),
    "llama fused ffn": ("LlamaForCausalLM", {**GROUPED, "fuse_attention_ffn": True}, 4),
    "llama tied": ("LlamaForCausalLM", {**GROUPED, "tie_word_embeddings": True}, 2),
    "mistral": ("MistralForCausalLM", GROUPED, 2),
    "mixtral": ("MixtralForCausalLM", MIXTRAL, 2),
    "mixtral, fewer KV heads than ranks": ("MixtralForCausalLM", MIXTRAL, 4),
    "qwen": ("QWenForCausalLM", QWEN, 2),
    "qwen fused": ("QWenForCausalLM", {**QWEN, "fuse_attention_ffn": True}, 4),
    "qwen2": ("Qwen2ForCausalLM", GROUPED, 2),
    "qwen2, fewer KV heads than ranks": ("Qwen2ForCausalLM", GROUPED, 4),
    "qwen2 fused": ("Qwen2ForCausalLM", {**GROUPED, **FUSED}, 2),
    "qwen2-moe": ("Qwen2MoeForCausalLM", {**GROUPED, **EXPERTS}, 2),
    "qwen2-moe, fewer KV heads than ranks": ("Qwen2MoeForCausalLM", {**GROUPED, **EXPERTS}, 4),
    "gpt": ("GPTForCausalLM", BASE, 4),
    "gpt fused": ("GPTForCausalLM", {**BASE, "fuse_attention_qkv": True}, 2),
    "opt": ("OPTForCausalLM", {**OPT, "word_embed_proj_dim": 32}, 2),
    "opt projected": (
        "OPTForCausalLM",
        {**BASE, "word_embed_proj_dim": 16, "tie_word_embeddings": True},
        2,
    ),
    "bloom": ("BloomForCausalLM", SIZES["bloom"], 4),
    "chatglm": ("ChatGLMForCausalLM", SIZES["chatglm"], 2),
    "chatglm2": ("ChatGLMv2ForCausalLM", SIZES["chatglm2"], 2),
    "glm": ("GLMForConditionalGeneration", SIZES["glm"], 2),
}
# What the classes hold in parts and the mappings forget: (class, pattern) -> (column?, parts).
BY_CLASS = {
    ("GPTForCausalLM", r"^lm_head\.weight$"): (False, 1),
    ("OPTForCausalLM", r"project_in\.weight$"): (True, 1),
    ("QWenForCausalLM", r"mlp\.gate_up_fused_proj\.weight$"): (True, 2),
}


class Case:
    """A tiny model of PaddleNLP, its whole state, and its shards by PaddleNLP's functions."""

    def __init__(self, name: str, fields: Mapping[str, Any], degree: int) -> None:
        from paddlenlp import transformers

        self.degree = degree
        self.kind = getattr(transformers, name)
        self.config = self.kind.config_class(**fields)
        self.model = self.kind(self.config)
        # PaddleNLP's config.json does not say whether a head is tied.
        self.stated = {key: fields[key] for key in fields if key == "tie_word_embeddings"}
        rng = np.random.default_rng(0)
        for parameter in self.model.parameters():
            parameter.set_value(rng.standard_normal(parameter.shape).astype(np.float32))
        ignored = list(self.model._keys_to_ignore_on_save or ())
        if self.config.to_dict().get("word_embed_proj_dim", 32) != 32:
            # PaddleNLP gives this model a head of a width that its own output does not have.
            ignored.append("lm_head.decoder_weight")
        self.state = {
            key: value.numpy()
            for key, value in self.model.state_dict().items()
            if key not in ignored
        }

    def shards(self) -> list[dict[str, np.ndarray]]:
        return [self._shard(rank) for rank in range(self.degree)]

    def save(self, folder: Path, **changes: Any) -> None:
        self.config.architectures = [self.kind.__name__]
        self.config.save_pretrained(str(folder))
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | self.stated | changes))

    def _shard(self, rank: int) -> dict[str, np.ndarray]:
        import paddle
        from paddlenlp.transformers.conversion_utils import split_or_merge_func

        self.config.tensor_parallel_degree = self.degree
        self.config.tensor_parallel_rank = rank
        actions = self.kind.get_tensor_parallel_convert_actions(self.config, self.state)
        self.config.tensor_parallel_degree = 1
        self.config.tensor_parallel_rank = 0
        split = split_or_merge_func(True, self.degree, rank, self.config.num_attention_heads)
        shard = {}
        for key, value in self.state.items():
            action = actions.get(key)
            for (kind, pattern), (column, parts) in BY_CLASS.items():
                if kind == self.kind.__name__ and re.search(pattern, key):
                    action = partial(split, is_column=column, is_naive_2fuse=parts == 2)
            # ChatGLM2's functions join their parts with Paddle.
            tensor = paddle.to_tensor(value) if "ChatGLMv2" in self.kind.__name__ else value
            found = tensor if action is None else action(tensor)
            shard[key] = np.ascontiguousarray(getattr(found, "numpy", lambda: found)())  # noqa: B023
        return shard


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*CASES[request.param])


def infos(state: Mapping[str, np.ndarray]) -> dict[str, TensorInfo]:
    return {name: TensorInfo(array.dtype, array.shape) for name, array in state.items()}


def assert_same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_merging_gives_back_the_whole_state(case: Case, tmp_path: Path) -> None:
    import paddle

    for rank, shard in enumerate(case.shards()):
        tensors = {name: paddle.to_tensor(array) for name, array in shard.items()}
        paddle.save(tensors, str(tmp_path / f"model_state.tp{rank:02d}.pdparams"))
    case.save(tmp_path, tensor_parallel_degree=case.degree)
    model = open_model(tmp_path)
    output = tmp_path / "merged"
    output.mkdir()
    merge_model(model, output)
    assert_same(open_safetensors(output / "model.safetensors"), case.state)
    assert "tensor_parallel_degree" not in json.loads((output / "config.json").read_text())


def test_splitting_gives_paddlenlps_shards(case: Case, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    case.save(whole)
    write_safetensors(whole / "model.safetensors", infos(case.state), case.state.__getitem__)
    model = open_model(whole)
    count: list[int] = []
    names = split_model(model, tmp_path, tensor=case.degree, written=count.append)
    assert names == [f"model_state.tp{rank:02d}.pdparams" for rank in range(case.degree)]
    for name, shard in zip(names, case.shards(), strict=True):
        assert_same(open_pdparams(tmp_path / name), shard)
    assert sum(count) == split_bytes(model, tensor=case.degree)


@pytest.mark.parametrize("ending", ["pdparams", "safetensors"])
def test_stages_and_ranks_together(ending: str, tmp_path: Path) -> None:
    case = Case("LlamaForCausalLM", {**GROUPED, **FUSED}, 2)
    layers = [0, 1]
    stages = {"llama.embed_tokens.weight": 0, "llama.norm.weight": 1, "lm_head.weight": 1}
    stages |= {key: layer for key in case.state for layer in layers if f"layers.{layer}." in key}
    for rank, shard in enumerate(case.shards()):
        for stage in (0, 1):
            part = {name: array for name, array in shard.items() if stages[name] == stage}
            write = write_pdparams if ending == "pdparams" else write_safetensors
            stem = "model_state" if ending == "pdparams" else "model"
            path = tmp_path / f"{stem}.tp{rank:02d}_pp{stage:02d}.{ending}"
            write(path, infos(part), part.__getitem__)
    case.save(tmp_path)
    model = open_model(tmp_path)
    assert_same(model.files, case.state)
    again = tmp_path / "again"
    again.mkdir()
    read = open_pdparams if ending == "pdparams" else open_safetensors
    for name in split_model(model, again, tensor=2, pipeline=2, ending=ending):
        assert_same(read(again / name), read(tmp_path / name))
    assert_same(open_model(again).files, case.state)
