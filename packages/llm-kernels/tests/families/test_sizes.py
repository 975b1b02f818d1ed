from __future__ import annotations

from typing import Any

import pytest

from llm_kernels.errors import ConfigError
from llm_kernels.families import ALIASES, FAMILIES, Latent, Sizes, read_sizes

LLAMA: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 172,
    "vocab_size": 257,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 2048,
}


def read(family: str, **changes: Any) -> Sizes:
    return read_sizes(FAMILIES[family], {**LLAMA, **changes})


def test_llama() -> None:
    assert read("llama", num_key_value_heads=2, rope_theta=5e5) == Sizes(
        hidden=64,
        layers=3,
        heads=4,
        kv_heads=2,
        head_dim=16,
        mlp=172,
        vocab=257,
        eps=1e-5,
        theta=5e5,
        max_positions=2048,
        embed_dim=64,
    )


@pytest.mark.parametrize("size", ["hidden", "layers", "heads", "mlp", "vocab", "eps"])
def test_a_missing_field_is_named_with_its_aliases(size: str) -> None:
    config = {name: value for name, value in LLAMA.items() if name not in ALIASES[size]}
    with pytest.raises(ConfigError) as caught:
        read_sizes(FAMILIES["llama"], config)
    assert all(alias in str(caught.value) for alias in ALIASES[size])
    assert "llama" in str(caught.value)


@pytest.mark.parametrize("size", ["hidden", "layers", "heads", "mlp"])
def test_every_alias_is_read(size: str) -> None:
    value = read("llama").__getattribute__(size)
    for alias in ALIASES[size]:
        config = {name: held for name, held in LLAMA.items() if name not in ALIASES[size]}
        assert getattr(read_sizes(FAMILIES["llama"], {**config, alias: value}), size) == value


def test_null_counts_as_absent() -> None:
    assert read("llama", head_dim=None, num_key_value_heads=None).kv_heads == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": "64"}, "hidden_size.*'64'"),
        ({"vocab_size": True}, "vocab_size.*True"),
        ({"num_hidden_layers": 2.5}, "whole number"),
        ({"num_hidden_layers": 0}, "at least 1"),
        ({"num_key_value_heads": 3}, r"heads \(4\).*kv_heads \(3\)"),
        ({"hidden_size": 66}, "hidden_size 66 is not divisible by num_attention_heads 4"),
        ({"num_attention_heads": 0}, "num_attention_heads in config.json is 0; at least 1"),
    ],
)
def test_impossible_values_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read("llama", **changes)


def test_trained_length_is_needed_unless_positions_are_a_bias() -> None:
    config = {name: value for name, value in LLAMA.items() if "position" not in name}
    with pytest.raises(ConfigError, match=r"max_position_embeddings.*model_max_length"):
        read_sizes(FAMILIES["llama"], config)
    assert read_sizes(FAMILIES["bloom"], config).max_positions == 0


def test_qwen_states_twice_its_width_and_two_lengths() -> None:
    sizes = read("qwen", seq_length=512, intermediate_size=320, layer_norm_epsilon=1e-6)
    assert (sizes.mlp, sizes.max_positions) == (160, 512)


def test_llama_keeps_its_length_when_a_file_also_states_the_training_sequence() -> None:
    assert read("llama", seq_length=512).max_positions == 2048


def test_gpt2_width_defaults_to_four_times_hidden() -> None:
    config = {"n_embd": 32, "n_layer": 1, "n_head": 4, "vocab_size": 7, "n_positions": 16}
    sizes = read_sizes(FAMILIES["gpt2"], {**config, "n_inner": None})
    assert (sizes.mlp, sizes.eps, sizes.tied) == (128, 1e-5, True)


def test_chatglm2_may_be_plain_multi_head_and_may_stretch_theta() -> None:
    sizes = read("chatglm2", multi_query_group_num=2, multi_query_attention=False, rope_ratio=50)
    assert (sizes.kv_heads, sizes.theta) == (4, 500_000.0)


def test_newer_files_keep_theta_among_the_rope_parameters() -> None:
    assert read("llama", rope_parameters={"rope_theta": 1e6, "rope_type": "default"}).theta == 1e6


@pytest.mark.parametrize(
    ("changes", "windows"),
    [
        ({"sliding_window": 8}, [8, 8, 8]),
        ({"sliding_window": None}, [None] * 3),
        ({"sliding_window": 8, "use_sliding_window": False}, [None] * 3),
        (
            {"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 2},
            [None, None, 8],
        ),
        (
            {
                "sliding_window": 8,
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            },
            [8, None, 8],
        ),
    ],
)
def test_sliding_windows(changes: dict[str, Any], windows: list[int | None]) -> None:
    sizes = read("mistral", **changes)
    assert [sizes.layer_window(layer) for layer in range(3)] == windows


MOE = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 40,
    "shared_expert_intermediate_size": 96,
}


def test_experts() -> None:
    sizes = read("qwen2-moe", **MOE, decoder_sparse_step=2, mlp_only_layers=[1])
    assert sizes.dense_layers == frozenset({0, 1, 2})
    assert (sizes.expert_mlp, sizes.shared_mlp, sizes.renormalize) == (40, 96, False)
    assert read("qwen2-moe", **MOE, norm_topk_prob=True).renormalize
    assert read("mixtral", num_local_experts=4, num_experts_per_tok=2).expert_mlp == 172
    assert read("mixtral", num_local_experts=4, num_experts_per_tok=2).renormalize


def test_more_chosen_experts_than_there_are() -> None:
    with pytest.raises(ConfigError, match=r"num_experts_per_tok \(5\)"):
        read("qwen2-moe", **{**MOE, "num_experts_per_tok": 5})


def test_tied_is_read_unless_the_family_fixes_it() -> None:
    assert read("llama", tie_word_embeddings=True).tied
    assert not read("llama").tied
    assert read("opt", word_embed_proj_dim=64).tied
    assert not read("opt", tie_word_embeddings=False).tied
    assert not read("chatglm", tie_word_embeddings=True).tied


def test_projection_follows_from_the_embedding_width() -> None:
    assert read("opt", word_embed_proj_dim=16).projected
    assert not read("opt", word_embed_proj_dim=64).projected


LATENT = {
    "kv_lora_rank": 32,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 4,
    "v_head_dim": 10,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 20,
    "n_shared_experts": 2,
    "num_key_value_heads": 1,
}


def test_latent_attention_and_shared_experts() -> None:
    yarn = {"type": "yarn", "factor": 40.0, "mscale": 1.0, "mscale_all_dim": 1.0}
    sizes = read(
        "deepseek-v3",
        **LATENT,
        n_group=4,
        topk_group=2,
        routed_scaling_factor=2.5,
        first_k_dense_replace=1,
        rope_scaling=yarn,
    )
    assert sizes.latent == Latent(kv_rank=32, rope_dim=4, value_dim=10, q_rank=24)
    assert (sizes.head_dim, sizes.value_dim, sizes.kv_heads, sizes.rotary) == (16, 10, 4, 4)
    # (0.1 ln 40 + 1)^2 / sqrt(16)
    assert sizes.scale == pytest.approx(0.46846, abs=1e-4)
    assert (sizes.shared_mlp, sizes.routed_scale) == (40, 2.5)
    assert (sizes.groups, sizes.groups_per_token) == (4, 2)
    assert sizes.dense_layers == {0}


@pytest.mark.parametrize("groups", [{"n_group": 3}, {"n_group": 4, "topk_group": 5}])
def test_groups_that_do_not_fit_are_refused(groups: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="8 experts in n_group"):
        read("deepseek-v3", **LATENT, **groups)


def test_gemma2_states_its_caps_and_its_scale() -> None:
    stated = {
        "query_pre_attn_scalar": 64,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": 30.0,
        "sliding_window": 8,
    }
    sizes = read("gemma2", **stated)
    assert (sizes.scale, sizes.score_cap, sizes.logit_cap) == (0.125, 0.0, 30.0)
    assert [sizes.layer_window(layer) for layer in range(3)] == [8, None, 8]
    del stated["final_logit_softcapping"]
    with pytest.raises(ConfigError, match="final_logit_softcapping"):
        read("gemma2", **stated)


def test_one_kv_head_whatever_is_counted() -> None:
    assert read("falcon", num_kv_heads=4).kv_heads == 1
    assert read("falcon-grouped", num_kv_heads=2).kv_heads == 2


def test_windows_of_every_layer() -> None:
    window = {"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 2}
    assert read("qwen2", **window).full_layers == {0, 1}
    experts = {"num_experts": 4, "num_experts_per_tok": 2}
    assert read("qwen3-moe", **window, **experts).full_layers == frozenset()


def test_the_rotated_part_may_be_stated() -> None:
    assert read("phi3", partial_rotary_factor=0.75).rotary == 12


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": float("inf")}, "hidden_size"),
        ({"num_hidden_layers": 1 << 30}, "more than 1048576 blocks"),
        ({"num_hidden_layers": 1 << 60}, "num_hidden_layers"),
        ({"max_position_embeddings": "long"}, "max_position_embeddings.*'long'"),
        ({"partial_rotary_factor": -1}, "partial_rotary_factor"),
        ({"rope_theta": -5.0}, "above 0"),
        ({"rope_parameters": [1]}, "rope_parameters.*object"),
        ({"sliding_window": 0}, "sliding_window"),
        ({"sliding_window": 4, "layer_types": "all"}, "layer_types.*list"),
    ],
)
def test_what_no_model_has_is_refused_by_its_field(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read("llama", **changes)
