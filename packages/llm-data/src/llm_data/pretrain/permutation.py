"""A random order of n items without a table: item by item, in constant memory.

A Feistel network over the next even power of two, walked until it lands inside [0, n)
(Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). The order depends on
nothing but the key, so it stays the same on every machine and under every NumPy.
"""

from __future__ import annotations

from functools import lru_cache

_MASK = (1 << 64) - 1
_ROUNDS = 6


def mix(value: int) -> int:
    """A 64-bit hash of `value` (the finaliser of SplitMix64, Steele et al. 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


@lru_cache(maxsize=64)
def _round_keys(key: int) -> tuple[int, ...]:
    return tuple(mix(key + step) for step in range(_ROUNDS))


def permuted(index: int, count: int, key: int) -> int:
    """Where `index` of 0, ..., count - 1 goes under the order that `key` chooses."""
    assert 0 <= index < count
    half_bits = max((count - 1).bit_length() + 1, 2) // 2
    mask = (1 << half_bits) - 1
    round_keys = _round_keys(key)
    while True:
        left, right = index >> half_bits, index & mask
        for round_key in round_keys:
            left, right = right, left ^ (mix(right ^ round_key) & mask)
        index = (left << half_bits) | right
        if index < count:
            return index
