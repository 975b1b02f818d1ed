"""Names of element types that options take besides NumPy's; imported without NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SHORT_NAMES: Mapping[str, str] = MappingProxyType(
    {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "fp8": "float8"}
)
