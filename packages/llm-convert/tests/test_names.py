from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from llm_convert.errors import ConvertError
from llm_convert.names import FUSED, TABLES, Checkpoint, checkpoint, checkpoints
from llm_convert.names.targets import adapter_targets
from llm_kernels.families import FAMILIES, SLOTS

FORMS = [
    pytest.param(form, id=f"{family}-{naming}-{number}")
    for family, tables in TABLES.items()
    for naming, table in tables.items()
    for number, form in enumerate(table.forms())
]


def test_every_family_has_a_table_and_every_table_a_family() -> None:
    assert set(TABLES) == set(FAMILIES)
    for spec in FAMILIES.values():
        assert {"hf", "paddlenlp"} <= set(checkpoints(spec))


@pytest.mark.parametrize("form", FORMS)
def test_tables_can_be_inverted(form: Checkpoint) -> None:
    names = form.names
    stems = Counter([*names.values(), form.head.removesuffix(".weight")])
    assert max(stems.values()) == 1
    assert set(names) <= set(SLOTS) | set(FUSED)
    for slot, stem in names.items():
        part = FUSED.get(slot, (slot,))[0]
        scope = SLOTS[part].scope
        assert ("{layer}" in stem) == (scope != "model"), slot
        assert ("{expert}" in stem) == (scope == "expert"), slot


def test_a_naming_that_a_family_does_not_have() -> None:
    with pytest.raises(ConvertError, match=r"bloom has no files in the naming 'meta'.*hf, paddle"):
        checkpoint(FAMILIES["bloom"], "meta")


def test_a_family_without_tables() -> None:
    stranger = replace(FAMILIES["llama"], name="stranger")
    with pytest.raises(ConvertError, match=r"No name table for the family stranger.*qwen2-moe"):
        checkpoints(stranger)


@pytest.mark.parametrize(
    ("family", "naming", "targets"),
    [
        (
            "bloom",
            "hf",
            "mlp.dense_4h_to_h mlp.dense_h_to_4h self_attention.dense "
            "self_attention.query_key_value",
        ),
        (
            "baichuan-7b",
            "hf",
            "mlp.down_proj mlp.gate_proj mlp.up_proj self_attn.W_pack self_attn.o_proj",
        ),
        (
            "mixtral",
            "paddlenlp",
            "self_attn.k_proj self_attn.o_proj self_attn.q_proj self_attn.v_proj w1 w2 w3",
        ),
        ("gpt2", "hf", "attn.c_attn attn.c_proj mlp.c_fc mlp.c_proj"),
        (
            "chatglm2",
            "hf",
            "mlp.dense_4h_to_h mlp.dense_h_to_4h self_attention.dense "
            "self_attention.query_key_value",
        ),
    ],
)
def test_adapter_targets_are_what_users_of_the_ecosystem_write(
    family: str, naming: str, targets: str
) -> None:
    assert " ".join(adapter_targets(FAMILIES[family], naming)) == targets
