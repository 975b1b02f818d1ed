"""torch's files, whichever of its two forms they have."""

from __future__ import annotations

from pathlib import Path

from llm_convert.files.tensor_file import FileMap, MappedTensors
from llm_convert.files.torch_legacy import open_torch_legacy
from llm_convert.files.torch_zip import open_torch_zip


def open_torch(path: Path) -> MappedTensors:
    """Map a torch file whose top level is a state dict.

    Raises:
        UnsafePickleError: the pickle uses a name that rebuilding tensors does not need.
        FileFormatError: missing, truncated, malformed, compressed, big-endian, or not a dict of
            tensors.
    """
    source = FileMap(path)
    # A pickle of protocol 2 or newer begins so; a zip begins with "PK".
    return open_torch_legacy(source) if source.data[:1] == b"\x80" else open_torch_zip(source)
