"""Opening a model of tens of thousands of tensors takes no time that anyone notices."""

from __future__ import annotations

import time

from llm_convert.layout import Layout
from llm_convert.layout.model_layout import layout_of_files
from llm_kernels.families import detect, read_sizes

CONFIG = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 64,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 94,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "vocab_size": 512,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 1024,
    "norm_topk_prob": True,
}


def test_the_tensors_of_a_large_mixture_are_matched_in_linear_time() -> None:
    """37 thousand of them: a second by now; a set made anew for each took two minutes."""
    spec = detect(CONFIG)
    sizes = read_sizes(spec, CONFIG)
    layout = Layout.of(spec, sizes, "hf")
    shapes = {name: tensor.shape for name, tensor in layout.tensors.items()}
    assert len(shapes) > 36_000
    begin = time.process_time()
    found = layout_of_files(spec, sizes, shapes)
    assert time.process_time() - begin < 20
    assert found.names == {name: name for name in shapes}
