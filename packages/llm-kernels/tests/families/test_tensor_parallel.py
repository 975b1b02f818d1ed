from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llm_kernels.errors import ShapeError
from llm_kernels.families import FAMILIES, ParameterKey, merge, shard, tensor_parallel_axis


@pytest.mark.parametrize("degree", [1, 2, 4])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_merging_the_shares_gives_the_parameter_back(
    family: str, kv_heads: int, degree: int, random_model: Any
) -> None:
    model = random_model(family, kv_heads=kv_heads, vocab=44)
    for key, value in model.parameters.items():
        shares = [shard(key, value, model.sizes, rank=r, degree=degree) for r in range(degree)]
        np.testing.assert_array_equal(merge(key, shares, model.sizes), value)
        held = [share.size for share in shares]
        assert max(held) == min(held), key


def test_ranks_share_a_kv_head_when_there_are_fewer(random_model: Any) -> None:
    model = random_model("llama", kv_heads=2)
    key = ParameterKey("k", 0)
    shares = [shard(key, model.parameters[key], model.sizes, rank=r, degree=4) for r in range(4)]
    np.testing.assert_array_equal(shares[0], shares[1])
    np.testing.assert_array_equal(shares[2], shares[3])
    assert not np.array_equal(shares[1], shares[2])


def test_the_shares_compute_what_the_whole_does(random_model: Any) -> None:
    model = random_model("gpt2", kv_heads=4)
    rng = np.random.default_rng(7)
    x = rng.standard_normal((5, model.sizes.hidden)).astype(np.float32)

    def mlp(get: Any) -> np.ndarray:
        up = x @ get("up", "weight").T + get("up", "bias")
        return np.maximum(up, 0) @ get("down", "weight").T + get("down", "bias")

    def share(rank: int) -> Any:
        def get(slot: str, leaf: Any) -> np.ndarray:
            key = ParameterKey(slot, 0, None, leaf)
            return shard(key, model.parameters[key], model.sizes, rank=rank, degree=2)

        return get

    whole = mlp(lambda slot, leaf: model.parameters[ParameterKey(slot, 0, None, leaf)])
    np.testing.assert_allclose(mlp(share(0)) + mlp(share(1)), whole, atol=1e-6)


def test_a_vocabulary_that_does_not_divide_stays_whole(random_model: Any) -> None:
    sizes = random_model("llama", vocab=41).sizes
    assert tensor_parallel_axis(ParameterKey("embed"), sizes, 2) is None
    assert tensor_parallel_axis(ParameterKey("head"), sizes, 2) is None


@pytest.mark.parametrize(
    ("slot", "changes", "words"),
    [
        ("q", {}, "heads is 4, which 3 ranks"),
        ("k", {}, "kv_heads is 2, which 3 ranks"),
        ("gate", {}, "mlp is 20, which 3 ranks"),
    ],
)
def test_uneven_shares_are_refused(
    slot: str, changes: dict[str, Any], words: str, random_model: Any
) -> None:
    sizes = random_model("llama", **changes).sizes
    with pytest.raises(ShapeError, match=words):
        tensor_parallel_axis(ParameterKey(slot, 0), sizes, 3)
