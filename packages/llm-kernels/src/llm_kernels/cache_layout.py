"""How a decoder's cache keeps keys and values, and what of it that takes.

int8 counts in steps of a scale: one for each layer and key/value head that calibration found
(`CacheScales`, PaddleNLP's cachekv_int8_type static), or, without those, one of every token and
head, measured as it is stored (dynamic).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm_kernels.errors import KernelsError, ShapeError
from llm_kernels.families import Sizes
from llm_kernels.reference import MOST_CODE, CacheDtype

_ITEM_BYTES: Mapping[CacheDtype, int] = {"float32": 4, "bfloat16": 2, "int8": 1}
_LAYOUTS: Mapping[tuple[CacheDtype, bool], int] = {
    ("float32", False): 0,
    ("bfloat16", False): 1,
    ("int8", True): 2,
    ("int8", False): 3,
}
_SCALE_BYTES = 4


@dataclass(frozen=True)
class CacheScales:
    """What a code of a static int8 cache counts: float32 [L, G] for keys and for values."""

    keys: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32]

    @classmethod
    def from_abs_max(cls, keys: npt.ArrayLike, values: npt.ArrayLike, kv_heads: int) -> CacheScales:
        """From the largest numbers that calibration saw, [L, H], as cachekv_scales.json has them.

        PaddleNLP lists every query head, though those of a group share a key/value head; of a group
        the largest counts. Raises ShapeError where the heads are no multiple of `kv_heads`, and for
        numbers that are not above 0.
        """
        return cls(*(_folded(name, most, kv_heads) for name, most in _named(keys, values)))

    def check(self, sizes: Sizes) -> None:
        """Raise ShapeError unless they are of a model of these sizes."""
        for name, scales in (("keys", self.keys), ("values", self.values)):
            if scales.shape != (sizes.layers, sizes.kv_heads):
                message = (
                    f"The scales of the cache's {name} are {list(scales.shape)}, but the model has "
                    f"{sizes.layers} layers of {sizes.kv_heads} key/value heads. Check that "
                    "cachekv_scales.json belongs to this model."
                )
                raise ShapeError(message)


def native_layout(dtype: CacheDtype, scales: CacheScales | None, sizes: Sizes) -> dict[str, object]:
    """The cache's fields of the native decoder's configuration.

    Raises KernelsError for a dtype that is not known and for scales without int8, ShapeError for
    scales of another model.
    """
    _check_dtype(dtype)
    if scales is not None:
        if dtype != "int8":
            message = f"A cache of {dtype} has no scales. Leave them out, or set the dtype to int8."
            raise KernelsError(message)
        scales.check(sizes)
    return {
        "cache_layout": _LAYOUTS[dtype, scales is not None],
        "key_scales": [] if scales is None else scales.keys.ravel().tolist(),
        "value_scales": [] if scales is None else scales.values.ravel().tolist(),
    }


def bytes_per_block(
    sizes: Sizes, block_size: int, dtype: CacheDtype = "float32", *, static: bool = False
) -> int:
    """Bytes of a block of `block_size` tokens in all layers; `static`: int8 with given scales."""
    _check_dtype(dtype)
    each = (sizes.head_dim + sizes.value_dim) * _ITEM_BYTES[dtype]
    if dtype == "int8" and not static:
        each += 2 * _SCALE_BYTES
    return sizes.layers * sizes.kv_heads * block_size * each


def _check_dtype(dtype: str) -> None:
    if dtype not in _ITEM_BYTES:
        message = f"The cache's dtype is {dtype!r}; choose one of {', '.join(_ITEM_BYTES)}."
        raise KernelsError(message)


def _named(keys: npt.ArrayLike, values: npt.ArrayLike) -> list[tuple[str, npt.NDArray[np.float32]]]:
    return [("keys", np.asarray(keys, np.float32)), ("values", np.asarray(values, np.float32))]


def _folded(name: str, most: npt.NDArray[np.float32], kv_heads: int) -> npt.NDArray[np.float32]:
    if most.ndim != 2 or most.shape[1] == 0 or most.shape[1] % kv_heads:
        message = (
            f"The largest {name} have shape {list(most.shape)}; [layers, a multiple of {kv_heads} "
            "heads] is needed. Check that cachekv_scales.json belongs to this model."
        )
        raise ShapeError(message)
    if not (np.isfinite(most).all() and (most > 0).all()):
        message = (
            f"The largest {name} of a layer are not all above 0, so nothing can be counted in "
            "them. Calibrate the cache again."
        )
        raise ShapeError(message)
    grouped = most.reshape(len(most), kv_heads, -1).max(axis=2)
    return (grouped / np.float32(MOST_CODE)).astype(np.float32)
