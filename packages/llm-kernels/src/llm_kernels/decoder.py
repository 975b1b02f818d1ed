"""The native decoder: a whole step in C++, without Python between the ops and without the GIL.

    decoder = NativeDecoder(spec, sizes, model.weight, num_blocks=128)
    logits = decoder.step(StepBatch(...))                 # float32 [R, V]

It is built from a family's spec, packs the weights as it is made, and owns a paged cache of keys
and values. It refuses to know requests, sampling and which block is whose: the caller
names the blocks of every sequence in every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

from llm_kernels.cache_layout import CacheScales, bytes_per_block, native_layout
from llm_kernels.decoder_config import native_config
from llm_kernels.errors import KernelsError, ShapeError, UnsupportedSpecError
from llm_kernels.families import SLOTS, FamilySpec, ParameterKey, Sizes, parameters
from llm_kernels.native import extension, packed_isa, resolve
from llm_kernels.ops.linear import Packable
from llm_kernels.ops.linear_arguments import arguments
from llm_kernels.reference import CacheDtype, unit_rows
from llm_kernels.weights import QUANTIZED, PackedArrays

Weight: TypeAlias = Packable


@dataclass(kw_only=True)
class StepBatch:
    """One step's input: S sequences, prefill chunks and decode tokens mixed; all arrays int32.

    token_ids [T]; positions [T]; query_start [S + 1]: rows of sequence s are
    query_start[s]:query_start[s + 1]; context_length [S]: its tokens in the cache after this step;
    block_tables [S, max_blocks]; logits_rows [R]: rows of T whose logits are wanted.
    `block_positions` [T] only for models with a second position of every token (ChatGLM-6B, GLM);
    `prefix_length` [S]: first tokens of a sequence that all its rows see, for a prefix mask, in
    every step of it; a prefix must be in the cache as a whole by the end of its first step.
    `rope_length` [S], for models whose rotary frequencies follow the length (longrope, dynamic NTK,
    Qwen-1): the length that chooses those of a sequence, the same in every step of it, such as that
    of its prompt, or the longest that it may reach. None: context_length, which is refused where
    keys in the cache were turned by other frequencies.
    `adapters` [S]: the number of each sequence's adapter (`add_adapter`), -1 for none. None: no
    sequence has one.
    """

    token_ids: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]
    query_start: npt.NDArray[np.int32]
    context_length: npt.NDArray[np.int32]
    block_tables: npt.NDArray[np.int32]
    logits_rows: npt.NDArray[np.int32]
    block_positions: npt.NDArray[np.int32] | None = None
    prefix_length: npt.NDArray[np.int32] | None = None
    rope_length: npt.NDArray[np.int32] | None = None
    adapters: npt.NDArray[np.int32] | None = None


class NativeDecoder:
    """A model's decoder on this machine's processor."""

    def __init__(
        self,
        spec: FamilySpec,
        sizes: Sizes,
        weight: Callable[[ParameterKey], Weight],
        *,
        num_blocks: int,
        block_size: int = 64,
        max_batch_tokens: int = 2048,
        cache_dtype: CacheDtype = "float32",
        cache_scales: CacheScales | None = None,
        head: Callable[[npt.NDArray[np.generic]], Weight] | None = None,
        threads: int | None = None,
        isa: str | None = None,
    ) -> None:
        """Ask `weight` for every canonical parameter in turn, and pack it.

        `num_blocks` blocks of `block_size` tokens (a multiple of 16) hold keys and values; a step
        takes up to `max_batch_tokens` tokens. `cache_dtype` is what they are kept in: float32,
        bfloat16 or int8, the latter in steps of `cache_scales`, or, without those, of a scale of
        every token and head. Only linears may be quantized; `head` makes what the head's floats
        [V, E] are kept as, also where they are the embedding's. Raises
        UnsupportedSpecError for a spec that needs what this decoder lacks, ShapeError for a
        parameter of another shape, KernelsError for a cache or a number of threads that this
        machine does not give.
        """
        config = native_config(spec, sizes)
        config |= {
            "num_blocks": num_blocks,
            "block_size": block_size,
            "max_batch_tokens": max_batch_tokens,
            **native_layout(cache_dtype, cache_scales, sizes),
        }
        try:
            self._native = extension().Decoder(config, *resolve(isa, threads))
        except ValueError as error:
            raise KernelsError(str(error)) from error
        self.cache_dtype = cache_dtype
        self._spec, self._sizes, self._weight, self._head = spec, sizes, weight, head
        self._shapes = parameters(spec, sizes)
        for key in self._shapes:
            if key.leaf == "weight":
                self._load(key)
        if sizes.tied:
            self._load_head(ParameterKey("embed"))
        del self._weight, self._head
        try:
            self._native.seal()
        except ValueError as error:
            raise ShapeError(str(error)) from error

    def step(self, batch: StepBatch) -> npt.NDArray[np.float32]:
        """Run the tokens of `batch` through the model: float32 logits [R, V].

        Keys and values of the tokens are in the cache afterwards. Raises ShapeError, and changes
        nothing, for arrays of another dtype or shape, for ids, positions, blocks or lengths that
        are out of range, and for adapters that were never added.
        """
        try:
            logits: npt.NDArray[np.float32] = self._native.step(
                batch.token_ids,
                batch.positions,
                batch.block_positions,
                batch.query_start,
                batch.context_length,
                batch.prefix_length,
                batch.block_tables,
                batch.logits_rows,
                batch.rope_length,
                batch.adapters,
            )
        except ValueError as error:
            raise ShapeError(str(error)) from error
        return logits

    def copy_blocks(self, copies: Sequence[tuple[int, int]]) -> None:
        """Copy keys and values of all layers, block to block, one pair after the other.

        Raises ShapeError, and changes nothing, for a block that is not there.
        """
        pairs = np.array(copies, np.int32).reshape(-1, 2)
        try:
            self._native.copy_blocks(pairs)
        except ValueError as error:
            raise ShapeError(str(error)) from error

    def write_cache(
        self,
        layer: int,
        slots: npt.NDArray[np.int32],
        keys: npt.NDArray[np.float32],
        values: npt.NDArray[np.float32],
    ) -> None:
        """Write keys and values [T, G, D] of one layer, as they are, to `slots` int32 [T].

        Slot b * block_size + i is place i of block b. Raises ShapeError, and changes nothing, for
        arrays of another dtype or shape, and for a slot or layer that is not there.
        """
        try:
            self._native.write_cache(layer, slots, keys, values)
        except (ValueError, TypeError) as error:
            raise ShapeError(str(error)) from error

    def add_adapter(
        self,
        number: int,
        key: ParameterKey,
        a: npt.NDArray[np.float32],
        b: npt.NDArray[np.float32],
    ) -> None:
        """Put adapter `number` beside the linear `key`: y += B (A x), a [r, K], b [r, N].

        Scaling is part of `b`. Sequences have it where `StepBatch.adapters` says so. Raises
        ShapeError for matrices that do not fit, for a number below 0, and for a linear that no
        adapter can stand beside (experts).
        """
        if key.expert is not None:
            message = f"{key.name} is an expert's; merge the adapter instead."
            raise ShapeError(message)
        try:
            self._native.add_adapter(key.slot, _index(key.layer), number, a, b)
        except ValueError as error:
            raise ShapeError(str(error)) from error

    @property
    def isa(self) -> str:
        """The instruction set that runs, one of `llm_kernels.native.runnable_isas()`."""
        return str(self._native.isa)

    @property
    def threads(self) -> int:
        """Threads of a step, the calling one included."""
        return int(self._native.threads)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the packed weights."""
        return int(self._native.weight_bytes)

    @property
    def cache_bytes(self) -> int:
        """Bytes of the cache of keys and values."""
        return int(self._native.cache_bytes)

    @classmethod
    def cache_bytes_per_block(
        cls,
        spec: FamilySpec,  # noqa: ARG003
        sizes: Sizes,
        block_size: int = 64,
        cache_dtype: CacheDtype = "float32",
        cache_scales: CacheScales | None = None,
    ) -> int:
        """Bytes that one block of the cache takes over all layers."""
        return bytes_per_block(sizes, block_size, cache_dtype, static=cache_scales is not None)

    def _load(self, key: ParameterKey) -> None:
        kind = SLOTS[key.slot].kind
        if key.slot == "head":
            self._load_head(key)
        elif kind == "linear":
            self._add_linear(key, self._get(key))
        elif kind == "table" and key.layer is not None:
            self._native.add_vector(key.slot, key.layer, self._dense(key))
        elif kind == "norm":
            bias, weight = self._bias(key), self._dense(key)
            if self._spec.norm.unit_offset:
                weight = 1 + weight
            self._native.add_norm(key.slot, _index(key.layer), weight, bias)
        elif key.slot == "embed":
            self._load_embedding(key)
        else:
            self._native.add_table(key.slot, self._dense(key))

    def _load_embedding(self, key: ParameterKey) -> None:
        if self._sizes.tied and not self._spec.head.normalized and self._head is None:
            return  # its rows are read from the head's weight
        table = self._get(key)
        self._refuse_quantized(key, table)
        if isinstance(table, np.ndarray) and table.dtype == ml_dtypes.bfloat16:
            bits = np.ascontiguousarray(table).view(np.uint16)
            self._native.add_bfloat16_table(key.slot, bits)
        else:
            self._native.add_table(key.slot, _float32(table))  # type: ignore[arg-type]

    def _load_head(self, key: ParameterKey) -> None:
        weight = self._get(key)
        if self._spec.head.normalized and not isinstance(weight, PackedArrays):
            weight = unit_rows(self._dense(key))
        elif self._sizes.tied:
            self._refuse_quantized(key, weight)
        if self._head is not None and isinstance(weight, np.ndarray):
            weight = self._head(weight)
        self._add_linear(key if key.slot == "head" else ParameterKey("head"), weight)

    def _add_linear(self, key: ParameterKey, weight: Weight) -> None:
        where = (key.slot, _index(key.layer), _index(key.expert))
        if isinstance(weight, PackedArrays) and weight.isa != packed_isa(self.isa):
            message = (
                f"{key.name} was packed for {weight.isa}, and this decoder runs {self.isa}. "
                "Pack it again on this machine."
            )
            raise ShapeError(message)
        if isinstance(weight, np.ndarray):
            weight = _packable(weight)
        kind, values = arguments(weight, self._bias(key))
        getattr(self._native, f"add_{kind}")(*where, *values)

    def _bias(self, key: ParameterKey) -> npt.NDArray[np.float32] | None:
        bias = key._replace(leaf="bias")
        return self._dense(bias) if bias in self._shapes else None

    def _dense(self, key: ParameterKey) -> npt.NDArray[np.float32]:
        weight = self._get(key)
        self._refuse_quantized(key, weight)
        return _float32(weight)  # type: ignore[arg-type]

    @staticmethod
    def _refuse_quantized(key: ParameterKey, weight: Weight) -> None:
        if isinstance(weight, QUANTIZED):
            message = (
                f"{key.name} is quantized; this model's native decoder takes integers in linears "
                "only, and needs tied and normalized heads and embeddings as floats. Leave "
                f"{key.slot} out of the quantization, or run with --inference_model false."
            )
            raise UnsupportedSpecError(message)

    def _get(self, key: ParameterKey) -> Weight:
        weight = self._weight(key)
        if tuple(weight.shape) != self._shapes[key]:
            message = (
                f"{key.name} has shape {tuple(weight.shape)}, but config.json asks for "
                f"{self._shapes[key]}. Check that config.json belongs to these weights."
            )
            raise ShapeError(message)
        return weight


def _index(number: int | None) -> int:
    return -1 if number is None else number


def _packable(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """bfloat16 stays what it is, at half the bytes; all other floats become float32."""
    if array.dtype == ml_dtypes.bfloat16:
        return np.ascontiguousarray(array)
    return _float32(array)


def _float32(array: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(array, dtype=np.float32)
