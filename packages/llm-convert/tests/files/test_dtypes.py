"""Names of element types."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from llm_convert.errors import ConvertError
from llm_convert.files.dtypes import SAFETENSORS, SAFETENSORS_NAMES, floating, is_floating


def test_every_safetensors_type_has_one_name() -> None:
    assert {SAFETENSORS[name] for name in SAFETENSORS_NAMES.values()} == set(SAFETENSORS_NAMES)


def test_floating_types() -> None:
    assert floating("bfloat16") == ml_dtypes.bfloat16
    with pytest.raises(ConvertError, match="'int8' is not supported; choose one of float32"):
        floating("int8")
    assert {name for name, dtype in SAFETENSORS.items() if is_floating(dtype)} == {
        "F16",
        "BF16",
        "F32",
        "F64",
        "F8_E4M3",
        "F8_E5M2",
    }
    assert not is_floating(np.dtype(np.int32))
