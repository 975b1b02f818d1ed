from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llm_kernels.errors import ShapeError
from llm_kernels.families import FAMILIES, DynamicScaling, ParameterKey, YarnScaling
from llm_kernels.reference_decoder import KvCache, forward

TOKENS = np.array([3, 40, 7, 7, 0, 12, 25, 1, 30])


def whole(model: Any, prefix: int = 0, tokens: np.ndarray = TOKENS) -> np.ndarray:
    return forward(
        model.spec,
        model.sizes,
        model.parameters,
        tokens,
        positions=model.positions(len(tokens)),
        prefix=prefix,
    )


def in_pieces(model: Any, pieces: list[int], prefix: int = 0) -> np.ndarray:
    cache, at, rows = KvCache(), 0, []
    positions = model.positions(len(TOKENS))
    for count in pieces:
        rows.append(
            forward(
                model.spec,
                model.sizes,
                model.parameters,
                TOKENS[at : at + count],
                positions=positions[:, at : at + count],
                prefix=0 if at else prefix,
                cache=cache,
            )
        )
        at += count
    assert cache.length == at
    return np.concatenate(rows)


VARIANTS: list[dict[str, Any]] = [
    {},
    {"kv_heads": 1},
    {"kv_heads": 4, "layers": 1, "head_dim": 6},
    {"heads": 6, "kv_heads": 3, "head_dim": 4},
    {"window": 3, "full_layers": frozenset({1})},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda changes: ",".join(changes) or "small")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_cache_changes_nothing(family: str, changes: dict[str, Any], random_model: Any) -> None:
    model = random_model(family, seed=3, **changes)
    prefix = 4 if model.spec.mask == "prefix" else 0
    logits = whole(model, prefix)
    assert logits.shape == (len(TOKENS), model.sizes.vocab)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    for pieces in ([4, 1, 1, 1, 1, 1], [5, 3, 1]):
        np.testing.assert_allclose(in_pieces(model, pieces, prefix), logits, atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_later_tokens_do_not_change_earlier_logits(family: str, random_model: Any) -> None:
    model = random_model(family, seed=4)
    changed = TOKENS.copy()
    changed[-1] = 39
    before, after = whole(model), whole(model, tokens=changed)
    np.testing.assert_allclose(before[:-1], after[:-1], atol=1e-6)
    assert np.abs(before[-1] - after[-1]).max() > 1e-3


@pytest.mark.parametrize("family", ["chatglm", "glm"])
def test_tokens_of_the_prefix_see_each_other(family: str, random_model: Any) -> None:
    model = random_model(family, seed=5)
    changed = TOKENS.copy()
    changed[3] = 39
    prefixed = np.abs(whole(model, 4) - whole(model, 4, changed)).max(axis=1)
    causal = np.abs(whole(model) - whole(model, tokens=changed)).max(axis=1)
    assert (prefixed > 1e-4).all()
    assert (causal[:3] < 1e-6).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_matters(family: str, random_model: Any) -> None:
    model = random_model(family, seed=6, layers=1)
    if model.spec.moe:
        model = random_model(family, seed=6, layers=1, experts_per_token=5)
    logits = whole(model)
    rng = np.random.default_rng(8)
    for key, value in model.parameters.items():
        noise = rng.standard_normal(value.shape).astype(np.float32)
        changed = {**model.parameters, key: value + 0.5 * noise}
        moved = np.abs(
            forward(
                model.spec, model.sizes, changed, TOKENS, positions=model.positions(len(TOKENS))
            )
            - logits
        ).max()
        # A bias of all keys shifts every score of a query alike, and softmax forgets it,
        # unless a rotation turns it by the key's position.
        invisible = key.slot == "k" and key.leaf == "bias"
        assert moved > 1e-4 or invisible, key


def test_unused_weights_are_not_read(random_model: Any) -> None:
    model = random_model("mixtral", seed=1, layers=1, experts_per_token=1)
    read: list[ParameterKey] = []

    def source(key: ParameterKey) -> np.ndarray:
        read.append(key)
        return model.parameters[key]

    forward(model.spec, model.sizes, source, [5])
    assert len({key.expert for key in read if key.expert is not None}) == 1


def test_a_projected_embedding(random_model: Any) -> None:
    model = random_model("opt-350m", embed_dim=10)
    assert ParameterKey("project_out") in model.parameters
    np.testing.assert_allclose(in_pieces(model, [4, 5]), whole(model), atol=2e-5)


def test_dense_layers_of_a_mixture(random_model: Any) -> None:
    model = random_model("qwen2-moe", dense_layers=frozenset({0}))
    assert ParameterKey("gate", 0) in model.parameters
    assert ParameterKey("gate", 1) not in model.parameters
    np.testing.assert_allclose(in_pieces(model, [4, 5]), whole(model), atol=2e-5)


def test_yarn_in_pieces(random_model: Any) -> None:
    scaled = random_model("llama", rope_scaling=YarnScaling(4.0, 8, 32.0, 1.0, 1.1))
    np.testing.assert_allclose(in_pieces(scaled, [4, 5]), whole(scaled), atol=2e-5)
    assert np.abs(whole(scaled) - whole(random_model("llama"))).max() > 1e-3


def test_dynamic_scaling_turns_new_tokens_by_the_length_so_far(random_model: Any) -> None:
    model = random_model("llama", rope_scaling=DynamicScaling(2.0, 4))
    pieces = in_pieces(model, [4, 5])
    plain = whole(random_model("llama"))
    np.testing.assert_allclose(pieces[:4], plain[:4], atol=2e-5)
    assert np.abs(pieces[4:] - plain[4:]).max() > 1e-3


def test_qwen_keeps_the_frequencies_of_its_prompt(random_model: Any) -> None:
    model = random_model("qwen", max_positions=4)
    within = random_model("qwen", max_positions=64)
    # A prompt within the trained length fixes plain frequencies; log-n still scales later queries.
    assert np.abs(in_pieces(model, [4, 5])[:4] - whole(within)[:4]).max() < 2e-5
    assert np.abs(in_pieces(model, [4, 5])[4:] - whole(model)[4:]).max() > 1e-3


@pytest.mark.parametrize(
    ("family", "changes", "words"),
    [
        ("llama", {"prefix": 2}, "prefix of 2.*causal"),
        ("glm", {"prefix": 9}, "prefix of 9 tokens was given with 3"),
        ("chatglm", {"positions": np.arange(3)}, r"expected \[2, 3\]"),
        ("llama", {"positions": np.arange(4)}, r"\[1, 4\], expected \[1, 3\]"),
        ("llama", {"token_ids": [1, 2, 41]}, "between 0 and 40"),
        ("llama", {"token_ids": [-1]}, "between 0 and 40"),
        ("llama", {"token_ids": []}, "at least one"),
    ],
)
def test_what_does_not_fit_is_refused(
    family: str, changes: dict[str, Any], words: str, random_model: Any
) -> None:
    model = random_model(family)
    arguments = {"token_ids": [1, 2, 3], **changes}
    if family == "glm":
        arguments["positions"] = model.positions(3)
    with pytest.raises(ShapeError, match=words):
        forward(model.spec, model.sizes, model.parameters, **arguments)
