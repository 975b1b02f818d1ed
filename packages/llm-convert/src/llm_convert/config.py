"""config.json as each ecosystem's tools read it.

Family and sizes are stated by the same fields everywhere; what differs is the name of the model's
class in `architectures` and the field that holds the element type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from llm_convert.files.dtypes import dtype_name, is_floating
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.quantization import FIELD

_DTYPE_FIELD: Mapping[str, str] = MappingProxyType({"hf": "torch_dtype", "paddlenlp": "dtype"})
_DTYPE_FIELDS = ("torch_dtype", "dtype")


def config_for(
    config: Mapping[str, Any],
    naming: str,
    tensors: Mapping[str, TensorInfo],
    quantization: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The configuration for `naming`'s tools; `tensors` are the ones that will be written.

    `architectures` keeps naming the family, so that a converted checkpoint is detected again. A
    `quantization_config` of the source is replaced by `quantization`, or left out without one.
    """
    replaced = (*_DTYPE_FIELDS, FIELD)
    translated = {name: value for name, value in config.items() if name not in replaced}
    bytes_of: Counter[str] = Counter()
    for info in tensors.values():
        if is_floating(info.dtype):
            bytes_of[dtype_name(info.dtype)] += info.nbytes
    if bytes_of:
        ((dtype, _),) = bytes_of.most_common(1)
        translated[_DTYPE_FIELD[naming]] = dtype
    if quantization is not None:
        translated[FIELD] = dict(quantization)
    return translated
