"""Quantized weights in compressed-tensors' files, read and written.

`pack-quantized`: each quantized linear [N, K] is stored as `weight_packed` int32 [N, K*bits/32]
(codes offset by half their range, first code in the lowest bits), `weight_scale` [N, K/g],
`weight_shape` int64 [2] and, when asymmetric, `weight_zero_point` int32 [N*bits/32, K/g] (packed
along N). Its bytes are already the layout of `Int4Weight`, so 4-bit weights are views of the file.
`int-quantized` and `float-quantized` (see `rounded`) store a code an entry; `casting` makes them.
Formats: https://github.com/vllm-project/compressed-tensors.
"""

from __future__ import annotations

from llm_convert.quantization.reading import QuantizedTensors
from llm_convert.quantization.scheme import FIELD, Quantization, Scheme
from llm_convert.quantization.writing import stored_array, to_config

__all__ = [
    "FIELD",
    "Quantization",
    "QuantizedTensors",
    "Scheme",
    "stored_array",
    "to_config",
]
