"""A GGUF file in llama.cpp's own types: quantize_gguf.py FILE STEM writes STEM-<type>.gguf."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import llama_cpp

TYPES = {
    "bf16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16,
    "q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    "q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "q4_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
}


def main() -> None:
    """Write every type that is not there yet."""
    file, stem = sys.argv[1:]
    for name, kind in TYPES.items():
        output = f"{stem}-{name}.gguf"
        if Path(output).exists():
            continue
        parameters = llama_cpp.llama_model_quantize_default_params()
        parameters.ftype = kind
        made = llama_cpp.llama_model_quantize(
            file.encode(), output.encode(), ctypes.byref(parameters)
        )
        if made != 0:
            msg = f"llama.cpp does not quantize {file} to {name}."
            raise SystemExit(msg)


if __name__ == "__main__":
    main()
