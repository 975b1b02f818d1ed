"""A model as one GGUF file, tensor by tensor.

Matrices keep their type, or become F32, F16 or Q8_0; norms and biases are F32 always, as llama.cpp
wants them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind

from llm_convert.errors import ConvertError
from llm_convert.files.dtypes import BFLOAT16
from llm_convert.files.narrowing import narrowed
from llm_convert.foreign.gguf_metadata import divisors, metadata_of
from llm_convert.foreign.gguf_tokenizer import add_tokenizer, tokenizer_metadata
from llm_convert.layout import Layout, StoredTensor, Weight
from llm_convert.names.gguf import FREQUENCIES, architecture
from llm_convert.tokenizers import Vocabulary
from llm_kernels.families import FamilySpec, ParameterKey, Sizes

FILE = "model.gguf"
_KINDS: Mapping[str, Kind] = MappingProxyType(
    {"float32": Kind.F32, "float16": Kind.F16, "bfloat16": Kind.BF16, "q8_0": Kind.Q8_0}
)
_DTYPES: Mapping[Kind, np.dtype] = MappingProxyType(
    {Kind.F32: np.dtype(np.float32), Kind.F16: np.dtype(np.float16), Kind.BF16: BFLOAT16}
)
# What llama.cpp calls the type of most of a file's tensors.
_FILE_TYPES: Mapping[Kind, gguf.LlamaFileType] = MappingProxyType(
    {
        Kind.F32: gguf.LlamaFileType.ALL_F32,
        Kind.F16: gguf.LlamaFileType.MOSTLY_F16,
        Kind.BF16: gguf.LlamaFileType.MOSTLY_BF16,
        Kind.Q8_0: gguf.LlamaFileType.MOSTLY_Q8_0,
    }
)
_BLOCK = 32
# Elements quantized at a time.
_ROWS_BYTES = 64 << 20


def write_gguf(
    folder: Path,
    *,
    config: Mapping[str, Any],
    spec: FamilySpec,
    sizes: Sizes,
    parameters: Callable[[ParameterKey], Weight],
    dtype: str | Mapping[ParameterKey, np.dtype],
    vocabulary: Vocabulary | None = None,
    written: Callable[[int], None] = lambda _: None,
) -> Path:
    """Write model.gguf into an existing folder (use `written_folder` around it); its path.

    Args:
        config: for the ids of special tokens.
        parameters: canonical key -> dense array, asked in file order.
        dtype: "float32", "float16", "bfloat16" or "q8_0" for all matrices, or the type of each.
            Matrices whose rows are no multiple of 32 become F16 instead of Q8_0.
        vocabulary: the tokenizer; its special tokens go before those of `config`.
        written: told the bytes written after each tensor, for a progress bar.

    Raises ConvertError for a family or a variant that GGUF has no place for, UncarriedError for a
    vocabulary of more tokens than the model has.
    """
    tokenizer = tokenizer_metadata(vocabulary, sizes.vocab) if vocabulary else {}
    layout = Layout.of(spec, sizes, "gguf")
    metadata = metadata_of(spec, sizes, config)
    kinds = {name: _kind(tensor, dtype) for name, tensor in layout.tensors.items()}
    writer = gguf.GGUFWriter(None, architecture(spec))
    try:
        for key, value in metadata.items():
            if key not in tokenizer:
                _add(writer, key, value)
        add_tokenizer(writer, tokenizer)
        matrices = [kinds[name] for name, tensor in layout.tensors.items() if len(tensor.shape) > 1]
        writer.add_file_type(_FILE_TYPES[max(set(matrices), key=matrices.count)])
        factors = divisors(spec, sizes)
        if factors is not None:
            writer.add_tensor_info(FREQUENCIES, factors.shape, factors.dtype, factors.nbytes)
        for name, tensor in layout.tensors.items():
            shape = gguf.quant_shape_to_byte_shape(tensor.shape, kinds[name])
            size = int(np.prod(shape))
            writer.add_tensor_info(name, shape, np.dtype(np.uint8), size, kinds[name])
        writer.write_header_to_file(folder / FILE)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if factors is not None:
            writer.write_tensor_data(factors)
        for name in layout.tensors:
            data = _encoded(name, layout.encode(name, parameters), kinds[name])
            _write(writer, data, folder / FILE)
            written(data.nbytes)
    finally:
        writer.close()
    return folder / FILE


def _write(writer: gguf.GGUFWriter, data: np.ndarray, file: Path) -> None:
    try:
        writer.write_tensor_data(data)
    except OSError as error:
        if error.errno is not None:
            raise
        # NumPy's own error when fewer bytes were taken; it has no number.
        message = (
            f"{file} could not be written whole ({error}): the disk is full, or files may not be "
            "so large. Nothing was written; make room, or choose another --output_path."
        )
        raise ConvertError(message) from error


def _kind(tensor: StoredTensor, dtype: str | Mapping[ParameterKey, np.dtype]) -> Kind:
    if len(tensor.shape) == 1:
        return Kind.F32
    name = dtype if isinstance(dtype, str) else dtype[tensor.parts[0]].name
    if name not in _KINDS:
        message = f"GGUF files cannot hold {name} ({tensor.name}). Choose a --dtype."
        raise ConvertError(message)
    kind = _KINDS[name]
    return Kind.F16 if kind == Kind.Q8_0 and tensor.shape[-1] % _BLOCK else kind


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_uint32(key, int(value))


def _encoded(name: str, weight: Weight, kind: Kind) -> np.ndarray:
    """The bytes of a tensor, C-contiguous, as uint8 rows."""
    assert isinstance(weight, np.ndarray), "weights are dequantized before they come here"
    if kind in _DTYPES:
        dense = np.ascontiguousarray(narrowed(name, weight, np.dtype(_DTYPES[kind])))
        return dense.view(np.uint8)
    if not np.isfinite(weight).all():
        message = (
            f"{name} holds numbers that are not finite, and {kind.name} has none such. Its files "
            "may be damaged: copy or download the model again."
        )
        raise ConvertError(message)
    rows = max(1, _ROWS_BYTES // (4 * weight.shape[1]))
    parts = [
        gguf.quants.quantize(weight[start : start + rows].astype(np.float32), kind)
        for start in range(0, len(weight), rows)
    ]
    return np.concatenate(parts)
