"""Names of modules to linears, for the families' own configurations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_kernels.families import FamilySpec, Sizes, detect, read_sizes
from llm_peft.errors import TargetError
from llm_peft.lora.targets import target_keys


def family(golden: Path, name: str) -> tuple[FamilySpec, Sizes]:
    config = json.loads((golden / name / "config.json").read_text())
    spec = detect(config)
    return spec, read_sizes(spec, config)


@pytest.mark.parametrize(
    ("name", "targets", "slots"),
    [
        ("llama_v2_gqa", ["q_proj", "self_attn.v_proj"], {"q", "v"}),
        ("llama_v2_gqa", ["down"], {"down"}),
        ("baichuan_7b", ["W_pack"], {"q", "k", "v"}),
        ("bloom", ["self_attention.query_key_value"], {"q", "k", "v"}),
        ("qwen", ["w2"], {"gate"}),
        ("mixtral", ["w1", "o_proj"], {"expert_gate", "out"}),
        ("qwen2_moe", ["gate_proj"], {"gate", "expert_gate", "shared_gate"}),
        ("chatglm2", ["dense_h_to_4h"], {"gate", "up"}),
        ("gpt2", ["c_fc", "linear2"], {"up", "down"}),
    ],
)
def test_names_of_either_ecosystem(
    golden: Path, name: str, targets: list[str], slots: set[str]
) -> None:
    keys = target_keys(*family(golden, name), targets)
    present = {key.slot for key in target_keys(*family(golden, name), None)}
    assert {key.slot for key in keys} == slots & present
    assert keys
    assert all(key.leaf == "weight" for key in keys)


def test_every_adaptable_linear_by_default(golden: Path) -> None:
    spec, sizes = family(golden, "llama_v2_gqa")
    keys = target_keys(spec, sizes, None)
    assert len(keys) == 7 * sizes.layers
    assert {key.slot for key in keys} == {"q", "k", "v", "out", "gate", "up", "down"}


def test_every_expert_is_adapted(golden: Path) -> None:
    spec, sizes = family(golden, "mixtral")
    keys = target_keys(spec, sizes, ["w2"])
    assert len(keys) == sizes.layers * sizes.experts


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens", "input_layernorm", "q_pro", ""])
def test_other_names_are_refused_with_those_there_are(golden: Path, target: str) -> None:
    with pytest.raises(TargetError, match=r"no linear of that name.*down, gate, k, out, q, up, v"):
        target_keys(*family(golden, "llama_v2_gqa"), [target])


def test_the_nearest_name_is_shown(golden: Path) -> None:
    with pytest.raises(TargetError, match="Did you mean 'q_proj'"):
        target_keys(*family(golden, "llama_v2_gqa"), ["q_prj"])
