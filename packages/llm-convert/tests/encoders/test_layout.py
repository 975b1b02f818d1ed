"""The tables as such: invertible, closed, and of the parts that their classes name."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from llm_convert.encoders.detection import Found
from llm_convert.encoders.layout import entries, old_spelling
from llm_convert.encoders.names import ENCODERS
from llm_convert.encoders.table import Encoder, Labels, Patches, When, stated

CONFIG = {
    "vocab_size": 11,
    "hidden_size": 6,
    "d_model": 6,
    "embedding_size": 5,
    "num_hidden_layers": 2,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "intermediate_size": 7,
    "encoder_ffn_dim": 7,
    "decoder_ffn_dim": 8,
    "max_position_embeddings": 9,
    "num_heads": 2,
    "d_kv": 4,
    "d_ff": 7,
    "image_size": 6,
    "patch_size": 2,
}
CLASSES = [
    pytest.param(Found(encoder, name, head), id=name)
    for encoder in ENCODERS
    for name, head in encoder.classes.items()
]


@pytest.mark.parametrize("found", CLASSES)
@pytest.mark.parametrize("extra", [{}, {"tie_word_embeddings": False}])
def test_names_are_unique_in_both_namings(found: Found, extra: dict[str, bool]) -> None:
    own = entries(found, {**CONFIG, **extra}).own
    for naming in ("hf", "paddlenlp"):
        counts = Counter(entry.names[naming] for entry in own if entry.names[naming])
        assert [name for name, count in counts.items() if count > 1] == []
    hub = {entry.names["hf"] for entry in own}
    assert {entry.tied for entry in own if entry.tied} <= hub
    ignored = [re.compile(pattern) for pattern in found.encoder.ignore]
    assert not [name for name in hub if any(pattern.search(name) for pattern in ignored)]


@pytest.mark.parametrize("found", CLASSES)
def test_what_is_moved_can_be_moved_back(found: Found) -> None:
    rng = np.random.default_rng(0)
    for entry in entries(found, CONFIG).own:
        array = rng.standard_normal(entry.shapes["hf"]).astype(np.float32)
        there = entry.arranged(array, "hf", "paddlenlp")
        assert there.shape == entry.shapes["paddlenlp"]
        np.testing.assert_array_equal(entry.arranged(there, "paddlenlp", "hf"), array)


@pytest.mark.parametrize("encoder", ENCODERS, ids=[encoder.model_type for encoder in ENCODERS])
def test_classes_name_parts_that_exist(encoder: Encoder) -> None:
    for head in encoder.classes.values():
        assert set(head.parts) <= set(encoder.heads)
        assert set(head.body) <= set(encoder.body)
    used = {part for head in encoder.classes.values() for part in head.parts}
    assert used == set(encoder.heads)


def test_layers_are_counted_from_the_configuration() -> None:
    (bart,) = (encoder for encoder in ENCODERS if encoder.model_type == "bart")
    own = entries(Found(bart, "BartModel", bart.classes["BartModel"]), CONFIG).own
    layers = {
        found[1] for entry in own if (found := re.search(r"(\w+\.layers\.\d)", entry.names["hf"]))
    }
    assert layers == {
        *(f"encoder.layers.{i}" for i in (0, 1)),
        *(f"decoder.layers.{i}" for i in (0, 1, 2)),
    }


def test_sizes() -> None:
    assert stated("dim", "hidden_size").read({"hidden_size": 4}) == 4
    assert stated("n", plus=2, default=5).read({}) == 7
    assert stated("n", within="text_config").read({"n": 1, "text_config": {"n": 2}}) == 2
    assert Labels().read({"id2label": {"0": "a", "1": "b", "2": "c"}}) == 3
    assert Labels().read({}) == 2
    assert Patches("vision_config").read({"image_size": 224, "patch_size": 32}) == 50


def test_conditions() -> None:
    gated = When("feed_forward_proj", ("gated-gelu",), default="relu")
    plain = gated._replace(but=True)
    assert gated.holds({"feed_forward_proj": "gated-gelu"})
    assert not gated.holds({})
    assert plain.holds({})


def test_the_spelling_of_the_first_years() -> None:
    assert old_spelling("a.LayerNorm.weight") == "a.LayerNorm.gamma"
    assert old_spelling("a.layer_norm.weight") == "a.layer_norm.weight"
