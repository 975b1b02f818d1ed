"""The two files of a bundle: `bundle.bin`, arrays end to end, and `bundle.json`, what they are.

bundle.json: {"format", "version", "isa", "size": bytes of bundle.bin, "weights": {name: entry}}.
An entry of plain floats is {"dtype", "shape", "at"}; one of a packed linear is {"header",
"rounding", "codes", "scales", "offsets"}, each part [first byte, number of items] or null. Every
array begins at a multiple of 64 bytes. Names are those of canonical parameters, and "head" for the
packed head of a tied model.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

DESCRIPTION = "bundle.json"
ARRAYS = "bundle.bin"
FORMAT = "llm-toolchain packed bundle"
VERSION = 1
ALIGNMENT = 64
DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
HEAD = "head"
"""Name of the packed head; of a tied model it stands beside the embedding."""
