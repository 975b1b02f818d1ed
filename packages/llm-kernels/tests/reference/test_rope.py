from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_kernels.errors import ConfigError, ShapeError
from llm_kernels.families import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    LongScaling,
    NtkScaling,
    Rope,
    RopeScaling,
    Sizes,
    YarnScaling,
)
from llm_kernels.families.scaling import read_rope_scaling
from llm_kernels.reference import (
    apply_rope,
    attention_factor,
    check_stretch,
    cos_sin,
    inverse_frequencies,
    logn_scale,
    rotated_dim,
)

SIZES = Sizes(64, 1, 4, 4, 16, 8, 8, 1e-5, max_positions=64)
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}

# What transformers 4.57.6 computes (modeling_rope_utils.ROPE_INIT_FUNCTIONS), head_dim 16.
TRANSFORMERS: list[tuple[RopeScaling, float, int, list[float]]] = [
    (
        Llama3Scaling(8.0, 1.0, 4.0, 64),
        5e5,
        0,
        [
            1.0,
            0.079403013,
            0.0047007538,
            0.00091158313,
            0.00017677668,
            3.4281024e-05,
            6.6478697e-06,
            1.2891732e-06,
        ],
    ),
    (
        LinearScaling(2.5),
        1e4,
        0,
        [0.4, 0.1264911, 0.04, 0.012649111, 0.004, 0.0012649111, 0.0004, 0.00012649111],
    ),
    (
        DynamicScaling(2.0, 64),
        1e4,
        100,
        [
            1.0,
            0.28394514,
            0.080624841,
            0.02289303,
            0.0065003652,
            0.001845747,
            0.00052409089,
            0.00014881307,
        ],
    ),
    (
        YarnScaling(4.0, 64, 32.0, 1.0, 1.0),
        1e4,
        0,
        [1.0, 0.23717082, 0.05, 0.0079056947, 0.0025, 0.00079056947, 0.00025, 7.9056947e-05],
    ),
    (
        YarnScaling(4.0, 64, 8.0, 2.0, 1.0, truncate=False),
        1e6,
        0,
        [
            1.0,
            0.044456985,
            0.0079056947,
            0.0014058533,
            0.00025,
            4.4456985e-05,
            7.9056936e-06,
            1.4058534e-06,
        ],
    ),
]


@pytest.mark.parametrize(("scaling", "theta", "length", "expected"), TRANSFORMERS)
def test_scaled_frequencies_are_those_of_transformers(
    scaling: RopeScaling, theta: float, length: int, expected: list[float]
) -> None:
    sizes = replace(SIZES, theta=theta, rope_scaling=scaling)
    np.testing.assert_allclose(inverse_frequencies(Rope(), sizes, length), expected, rtol=2e-6)


@pytest.mark.parametrize(
    ("stated", "factor"),
    [(YARN, 1.138629436111989), ({**YARN, "mscale": 0.7, "mscale_all_dim": 1.2}, 0.94057152510)],
)
def test_yarn_factors_are_those_of_transformers(stated: dict[str, object], factor: float) -> None:
    scaling = read_rope_scaling({"rope_scaling": stated}, 256)
    sizes = replace(SIZES, rope_scaling=scaling)
    assert attention_factor(sizes) == pytest.approx(factor, rel=1e-9)
    cos, sin = cos_sin(Rope(), sizes, np.arange(5))
    np.testing.assert_allclose(np.hypot(cos, sin), factor, rtol=1e-6)


def test_ntk_reaches_the_stretched_wavelength_with_its_slowest_pair() -> None:
    plain = inverse_frequencies(Rope(), SIZES)
    stretched = inverse_frequencies(Rope(), replace(SIZES, rope_scaling=NtkScaling(4.0)))
    np.testing.assert_allclose(stretched[-1], plain[-1] / 4, rtol=1e-6)
    assert stretched[0] == plain[0]


def test_dynamic_scaling_starts_beyond_its_length() -> None:
    sizes = replace(SIZES, rope_scaling=DynamicScaling(2.0, 64))
    plain = inverse_frequencies(Rope(), SIZES)
    np.testing.assert_array_equal(inverse_frequencies(Rope(), sizes, 64), plain)
    assert (inverse_frequencies(Rope(), sizes, 65)[1:] < plain[1:]).all()


@pytest.mark.parametrize(("length", "alpha"), [(64, 1), (65, 3), (128, 3), (129, 7), (256, 7)])
def test_qwen_grows_theta_in_steps_at_each_doubling(length: int, alpha: int) -> None:
    sizes = replace(SIZES, theta=1e4 * alpha ** (16 / 14))
    np.testing.assert_allclose(
        inverse_frequencies(Rope(dynamic_ntk=True), SIZES, length),
        inverse_frequencies(Rope(), sizes),
        rtol=1e-6,
    )


def test_half_precision_rounds_the_frequencies() -> None:
    rounded = inverse_frequencies(Rope(half_precision=True), SIZES)
    plain = inverse_frequencies(Rope(), SIZES)
    np.testing.assert_array_equal(rounded, plain.astype(np.float16).astype(np.float32))
    assert not np.array_equal(rounded, plain)


ROPES = [Rope(), Rope("interleaved"), Rope("interleaved", fraction=0.5), Rope(channels=2)]


@pytest.mark.parametrize("rope", ROPES)
@given(seed=st.integers(0, 2**32 - 1), shift=st.integers(0, 500))
def test_scores_depend_on_distances_only(rope: Rope, seed: int, shift: int) -> None:
    q, k = np.random.default_rng(seed).standard_normal((2, 3, 2, 16)).astype(np.float32)
    positions = np.stack([np.arange(3), np.array([0, 0, 1])])

    def scores(at: np.ndarray) -> np.ndarray:
        turned = (apply_rope(x, rope, SIZES, at).transpose(1, 0, 2) for x in (q, k))
        left, right = turned
        return left @ right.transpose(0, 2, 1)

    np.testing.assert_allclose(scores(positions + shift), scores(positions), atol=2e-3)


@pytest.mark.parametrize("rope", ROPES)
def test_rotation_is_complex_multiplication(rope: Rope) -> None:
    x = np.random.default_rng(5).standard_normal((4, 2, 16)).astype(np.float32)
    positions = np.array([[0, 1, 2, 9], [0, 3, 1, 4]])
    result = apply_rope(x, rope, SIZES, positions)
    dim = rotated_dim(rope, SIZES)
    theta = 1e4 ** (-np.arange(0, dim, 2) / dim)
    for channel in range(rope.channels):
        part = slice(channel * dim, (channel + 1) * dim)
        pairs = [slice(None, dim // 2), slice(dim // 2, None)]
        if rope.pairing == "interleaved":
            pairs = [slice(0, None, 2), slice(1, None, 2)]
        before, after = x[..., part], result[..., part]
        turned = (before[..., pairs[0]] + 1j * before[..., pairs[1]]) * np.exp(
            1j * positions[channel][:, None, None] * theta
        )
        np.testing.assert_allclose(after[..., pairs[0]], turned.real, atol=1e-5)
        np.testing.assert_allclose(after[..., pairs[1]], turned.imag, atol=1e-5)
    passed = slice(rope.channels * dim, None)
    np.testing.assert_array_equal(result[..., passed], x[..., passed])


def test_logn_is_one_up_to_the_trained_length() -> None:
    scale = logn_scale(np.array([0, 62, 63, 64, 4095]), 64)
    np.testing.assert_allclose(scale, [1, 1, 1, np.log(65) / np.log(64), 2], rtol=1e-6)


LONG = LongScaling(
    short=tuple(range(1, 9)), long=tuple(range(10, 18)), original=32, attention_factor=1.2
)


def test_longrope_divides_every_frequency_by_its_factor() -> None:
    sizes = replace(SIZES, rope_scaling=LONG)
    plain = inverse_frequencies(Rope(), SIZES)
    for length, factors in ((0, LONG.short), (32, LONG.short), (33, LONG.long)):
        np.testing.assert_allclose(
            inverse_frequencies(Rope(), sizes, length), plain / np.array(factors), rtol=1e-6
        )
    assert attention_factor(sizes) == 1.2


def test_longrope_needs_a_factor_for_every_pair() -> None:
    sizes = replace(SIZES, rope_scaling=replace(LONG, short=(1.0, 2.0)))
    with pytest.raises(ConfigError, match=r"2 factors.* 8 pairs"):
        inverse_frequencies(Rope(), sizes)


def test_a_cache_may_not_pass_the_length_where_longrope_changes() -> None:
    sizes = replace(SIZES, rope_scaling=LONG)
    for held, length in ((0, 40), (33, 40), (10, 32)):
        check_stretch(sizes, held, length)
    check_stretch(SIZES, 10, 40)
    with pytest.raises(ShapeError, match="from 32 to 33 tokens and passes 32"):
        check_stretch(sizes, 32, 33)


def test_a_stated_number_of_elements_rotates() -> None:
    sizes = replace(SIZES, rotary=6)
    assert rotated_dim(Rope(), sizes) == 6
    x = np.random.default_rng(3).standard_normal((2, 1, 16)).astype(np.float32)
    turned = apply_rope(x, Rope(), sizes, np.array([[3, 4]]))
    np.testing.assert_array_equal(turned[..., 6:], x[..., 6:])
    assert not np.allclose(turned[..., :6], x[..., :6])
