from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from llm_convert.errors import TensorMismatchError
from llm_convert.layout import Layout, Weight, layout_of_files
from llm_convert.names import TABLES, checkpoints
from llm_kernels.families import (
    FAMILIES,
    FamilySpec,
    Latent,
    ParameterKey,
    Sizes,
    detect,
    parameters,
    read_sizes,
)
from llm_kernels.weights import Int4Weight

FIXTURES = [
    path.parent.name
    for path in sorted((Path(__file__).parents[4] / "tests" / "golden").glob("*/config.json"))
]
Tensors = dict[str, np.ndarray]


def shapes(tensors: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def load(folder: Path) -> tuple[FamilySpec, Sizes, Tensors]:
    config = json.loads((folder / "config.json").read_text())
    spec = detect(config)
    return spec, read_sizes(spec, config), load_file(folder / "model.safetensors")


def decode_all(layout: Layout, tensors: Mapping[str, Weight]) -> dict[ParameterKey, Weight]:
    keys = parameters(layout.spec, layout.sizes)
    return {key: layout.decode(key, tensors) for key in keys}


def test_there_are_fixtures() -> None:
    assert len(FIXTURES) >= 19


@pytest.mark.parametrize("fixture", FIXTURES)
def test_golden_files_hold_exactly_the_parameters(golden: Path, fixture: str) -> None:
    spec, sizes, tensors = load(golden / fixture)
    layout = layout_of_files(spec, sizes, shapes(tensors))
    assert layout.naming == "hf"
    layout.check_tied_head(tensors)
    canonical = decode_all(layout, tensors)
    assert {key: value.shape for key, value in canonical.items()} == parameters(spec, sizes)


@pytest.mark.parametrize("fixture", FIXTURES)
def test_golden_files_are_written_back_byte_by_byte(golden: Path, fixture: str) -> None:
    spec, sizes, tensors = load(golden / fixture)
    layout = layout_of_files(spec, sizes, shapes(tensors))
    canonical = decode_all(layout, tensors)
    for full, name in layout.names.items():
        written = layout.encode(full, canonical.__getitem__)
        assert isinstance(written, np.ndarray)
        assert written.dtype == tensors[name].dtype
        assert written.shape == tensors[name].shape
        assert written.tobytes() == tensors[name].tobytes()
    left = set(tensors) - set(layout.names.values())
    assert all(name.endswith(("inv_freq", "attn.bias")) for name in left)


@pytest.mark.parametrize("fixture", FIXTURES)
def test_decoding_touches_one_tensor_only(golden: Path, fixture: str) -> None:
    spec, sizes, tensors = load(golden / fixture)
    layout = layout_of_files(spec, sizes, shapes(tensors))
    for key in parameters(spec, sizes):
        alone = layout.names[layout.source[key]]
        layout.decode(key, {alone: tensors[alone]})


@st.composite
def sizes_of(draw: st.DrawFn, spec: FamilySpec) -> Sizes:
    kv_heads = draw(st.integers(1, 3))
    more: dict[str, Any] = {}
    if spec.attention.latent != "none":
        q_rank = draw(st.integers(1, 5)) if spec.attention.latent == "qkv" else 0
        widths = [draw(st.integers(1, 5)) for _ in range(2)]
        more["latent"] = Latent(kv_rank=widths[0], rope_dim=2, value_dim=widths[1], q_rank=q_rank)
    layers = draw(st.integers(1, 3))
    if spec.moe:
        dense = draw(st.sets(st.integers(0, layers - 1))) if spec.moe.shared_expert else ()
        more |= {
            "experts": 3,
            "experts_per_token": 2,
            "expert_mlp": draw(st.integers(1, 7)),
            "shared_mlp": draw(st.integers(1, 7)),
            "dense_layers": frozenset(dense),
        }
    return Sizes(
        hidden=draw(st.integers(2, 9)),
        layers=layers,
        heads=kv_heads * draw(st.integers(1, 3)),
        kv_heads=kv_heads,
        head_dim=2 * draw(st.integers(1, 3)),
        mlp=draw(st.integers(1, 11)),
        vocab=draw(st.integers(1, 13)),
        eps=1e-5,
        tied=draw(st.booleans()) if spec.head.tied is None else spec.head.tied,
        max_positions=5,
        **more,
    )


def random_canonical(spec: FamilySpec, sizes: Sizes, seed: int) -> dict[ParameterKey, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        key: rng.standard_normal(shape).astype(np.float32)
        for key, shape in parameters(spec, sizes).items()
    }


FORMS = [
    pytest.param(family, naming, number, id=f"{family}-{naming}-{number}")
    for family, tables in TABLES.items()
    for naming, table in tables.items()
    for number in range(len(table.forms()))
]


@pytest.mark.parametrize(("family", "naming", "number"), FORMS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_form_returns_what_it_was_given(
    family: str, naming: str, number: int, data: st.DataObject
) -> None:
    spec = FAMILIES[family]
    sizes = data.draw(sizes_of(spec))
    canonical = random_canonical(spec, sizes, data.draw(st.integers(0, 2**32 - 1)))
    form = checkpoints(spec)[naming].forms()[number]
    layout = Layout.of(spec, sizes, naming, form)
    if not form.head and not sizes.tied:
        canonical[ParameterKey("head")] = canonical[ParameterKey("embed")]
    stored = {name: layout.encode(name, canonical.__getitem__) for name in layout.tensors}
    assert {name: tensor.shape for name, tensor in stored.items()} == {
        name: tensor.shape for name, tensor in layout.tensors.items()
    }
    for key, value in canonical.items():
        np.testing.assert_array_equal(layout.decode(key, stored), value)


@pytest.mark.parametrize(("family", "naming", "number"), FORMS)
@pytest.mark.parametrize("prefixed", [True, False])
def test_the_form_is_found_by_the_tensors(
    family: str, naming: str, number: int, prefixed: bool
) -> None:
    spec = FAMILIES[family]
    tied = bool(spec.head.tied_default)
    sizes = Sizes(8, 2, 4, 2, 6, 10, 13, 1e-5, max_positions=5, tied=tied, experts=2, shared_mlp=3)
    sizes = replace(sizes, experts_per_token=1, expert_mlp=5)
    if spec.attention.latent != "none":
        sizes = replace(sizes, latent=Latent(kv_rank=3, rope_dim=2, value_dim=4, q_rank=5))
    form = replace(checkpoints(spec)[naming].forms()[number], head_repeated=False)
    written = Layout.of(spec, sizes, naming, form)
    prefix = "" if prefixed else form.optional_prefix
    files = {name.removeprefix(prefix): tensor.shape for name, tensor in written.tensors.items()}
    found = layout_of_files(spec, sizes, files)
    assert found.naming == naming
    assert dict(found.tensors) == dict(written.tensors)
    assert found.names == {name: name.removeprefix(prefix) for name in written.tensors}


LLAMA = FAMILIES["llama"]
SMALL = Sizes(8, 2, 4, 2, 2, 10, 13, 1e-5, max_positions=5)


def llama_shapes() -> dict[str, tuple[int, ...]]:
    layout = Layout.of(LLAMA, SMALL, "hf")
    return {name: tensor.shape for name, tensor in layout.tensors.items()}


def test_all_that_is_wrong_is_told_at_once() -> None:
    files = llama_shapes()
    del files["model.norm.weight"]
    files["model.layers.0.self_attn.q_proj.weight"] = (9, 8)
    files["model.layers.7.self_attn.q_proj.weight"] = (8, 8)
    files["model.layers.0.self_attn.rotary_emb.inv_freq"] = (1,)
    with pytest.raises(TensorMismatchError) as caught:
        layout_of_files(LLAMA, SMALL, files)
    message = str(caught.value)
    assert "llama in the naming hf" in message
    assert "1 missing: model.norm.weight" in message
    assert "1 unknown: model.layers.7.self_attn.q_proj.weight" in message
    assert "model.layers.0.self_attn.q_proj.weight is [9, 8], expected [8, 8]" in message
    assert "inv_freq" not in message


def test_names_that_differ_in_their_layer_are_told_once() -> None:
    files = {name: shape for name, shape in llama_shapes().items() if "self_attn" not in name}
    with pytest.raises(TensorMismatchError) as caught:
        layout_of_files(LLAMA, SMALL, files)
    assert "8 missing: model.layers.{0-1}.self_attn.q_proj.weight, " in str(caught.value)


def test_the_same_tensor_with_and_without_the_prefix_is_not_ignored() -> None:
    files = llama_shapes() | {"norm.weight": (8,)}
    with pytest.raises(TensorMismatchError, match=r"1 unknown: norm\.weight"):
        layout_of_files(LLAMA, SMALL, files)


TIED = Sizes(**{**SMALL.__dict__, "tied": True})


def tied_tensors(naming: str, head: str) -> tuple[Layout, Tensors]:
    canonical = random_canonical(LLAMA, TIED, 4)
    written = Layout.of(LLAMA, TIED, naming)
    stored = {name: written.encode(name, canonical.__getitem__) for name in written.tensors}
    tensors = {name: np.asarray(tensor) for name, tensor in stored.items()}
    tensors[head] = canonical[ParameterKey("embed")].copy()
    return layout_of_files(LLAMA, TIED, shapes(tensors)), tensors


@pytest.mark.parametrize("naming", ["hf", "paddlenlp"])
def test_a_tied_head_that_is_stored_too_is_compared(naming: str) -> None:
    layout, tensors = tied_tensors(naming, "lm_head.weight")
    assert layout.twin == "lm_head.weight"
    layout.check_tied_head(tensors)
    tensors["lm_head.weight"] = tensors["lm_head.weight"].T.copy()
    layout.check_tied_head(tensors)
    tensors["lm_head.weight"][0, 0] += 1
    with pytest.raises(TensorMismatchError, match=r"ties the head.*tie_word_embeddings to false"):
        layout.check_tied_head(tensors)


def test_a_naming_without_a_head_takes_only_the_embedding_for_one() -> None:
    spec = FAMILIES["chatglm"]
    sizes = Sizes(8, 1, 2, 2, 4, 6, 13, 1e-5, max_positions=5)
    layout = Layout.of(spec, sizes, "paddlenlp")
    canonical = random_canonical(spec, sizes, 5)
    embed = layout.source[ParameterKey("embed")]
    with pytest.raises(TensorMismatchError, match="naming paddlenlp has no place for a head"):
        layout.encode(embed, canonical.__getitem__)
    canonical[ParameterKey("head")] = canonical[ParameterKey("embed")].copy()
    stored = {embed: layout.encode(embed, canonical.__getitem__)}
    np.testing.assert_array_equal(
        layout.decode(ParameterKey("head"), stored), canonical[ParameterKey("head")]
    )


@pytest.mark.parametrize("family", ["baichuan-7b", "bloom", "chatglm2", "qwen"])
def test_packed_weights_go_through_fused_layouts(family: str) -> None:
    spec = FAMILIES[family]
    sizes = Sizes(16, 1, 4, 4, 4, 8, 13, 1e-5, max_positions=5)
    layout = Layout.of(spec, sizes, "hf")
    dense = random_canonical(spec, sizes, 6)
    packed: dict[ParameterKey, Weight] = {
        key: Int4Weight.from_dense(value, 8) if key.slot in ("q", "k", "v", "gate", "up") else value
        for key, value in dense.items()
        if key.leaf == "weight"
    }
    packed |= {key: value for key, value in dense.items() if key.leaf == "bias"}
    stored = {name: layout.encode(name, packed.__getitem__) for name in layout.tensors}
    assert {name: tensor.shape for name, tensor in stored.items()} == {
        name: tensor.shape for name, tensor in layout.tensors.items()
    }
    for key, value in packed.items():
        found = layout.decode(key, stored)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found, value)
        else:
            assert isinstance(found, Int4Weight)
            np.testing.assert_array_equal(found.packed, value.packed)
            np.testing.assert_array_equal(found.scales, value.scales)


def test_a_tied_head_is_repeated_for_tools_that_never_tie_it() -> None:
    spec = FAMILIES["falcon"]
    sizes = replace(SMALL, kv_heads=1, tied=True)
    canonical = random_canonical(spec, sizes, 3)
    layout = Layout.of(spec, sizes, "paddlenlp")
    stored = {name: layout.encode(name, canonical.__getitem__) for name in layout.tensors}
    embed = canonical[ParameterKey("embed")]
    np.testing.assert_array_equal(stored["lm_head.weight"], embed)
    found = layout_of_files(spec, sizes, shapes(stored))
    assert found.twin == "lm_head.weight"
    found.check_tied_head(stored)
    assert decode_all(found, stored).keys() == canonical.keys()
    with pytest.raises(TensorMismatchError, match="differs"):
        found.check_tied_head({**stored, "lm_head.weight": embed + 1})
    del stored["lm_head.weight"]
    assert layout_of_files(spec, sizes, shapes(stored)).twin is None
