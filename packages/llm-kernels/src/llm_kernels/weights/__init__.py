"""How the weight of a linear is held: codes, scales and zero points, as NumPy arrays.

These types are what llm-convert hands over, llm-quant produces and the native kernels pack. They
refuse arrays that cannot be such a weight when they are made, and know nothing of files.

    weight = Int4Weight.from_dense(dense, group_size=128)      # round to nearest
    weight.shape, weight.dequantize()
    RoundedInputs(weight, InputRounding("int8_block"))          # int8 products
"""

from llm_kernels.weights.float8 import Float8Weight
from llm_kernels.weights.inputs import InputRounding, RoundedInputs
from llm_kernels.weights.integers import Int4Weight, Int8Weight
from llm_kernels.weights.packed import PackedArrays

QUANTIZED = (Int4Weight, Int8Weight, Float8Weight, RoundedInputs)
"""The types of this package that stand for a weight and can give it back in floats."""

__all__ = [
    "QUANTIZED",
    "Float8Weight",
    "InputRounding",
    "Int4Weight",
    "Int8Weight",
    "PackedArrays",
    "RoundedInputs",
]
