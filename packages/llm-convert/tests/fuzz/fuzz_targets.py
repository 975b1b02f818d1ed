"""What is fuzzed: every reader of files that strangers wrote, each as a function of bytes.

A reader may give arrays or raise one of our errors. Anything else (another exception, memory beyond
what the file could hold, an array outside the file) is a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from safetensors.numpy import save_file

from llm_convert.errors import ConvertError
from llm_convert.files.folder import open_file, open_index
from llm_convert.files.tensor_file import TensorFile
from llm_convert.model import open_model
from llm_convert.verify.golden import read_golden
from llm_kernels.errors import KernelsError

OURS = (ConvertError, KernelsError)
LARGEST = 1 << 20
"""Elements of an array that a file of the corpus may state; strides of zero repeat what it has."""

CORPUS = Path(__file__).resolve().parent / "corpus"
GOLDEN = Path(__file__).resolve().parents[4] / "tests" / "golden" / "llama_v2_gqa"


def outcome(kind: str, data: bytes, folder: Path) -> str:
    """Read `data` as a file of `kind` in `folder`: "read", or the name of our error.

    Raises whatever else the reader raises.
    """
    try:
        TARGETS[kind](data, folder)
    except OURS as error:
        return type(error).__name__
    return "read"


def _weights(suffix: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        path = folder / f"x{suffix}"
        path.write_bytes(data)
        _walk(open_file(path))

    return read


def _gguf(data: bytes, folder: Path) -> None:
    from llm_convert.foreign.gguf_reading import GgufTensors, open_gguf
    from llm_convert.foreign.gguf_tokenizer import read_tokenizer
    from llm_convert.tokenizers import write_folder

    path = folder / "x.gguf"
    path.write_bytes(data)
    _walk(GgufTensors(path))
    found = read_tokenizer(path)
    if found is not None:
        write_folder(found, folder)
    open_gguf(path)


def _tokenizer(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        from llm_convert.tokenizers import read_folder, write_folder

        for other in ("tokenizer.model", "tokenizer.json", "tokenizer_config.json"):
            (folder / other).unlink(missing_ok=True)
        (folder / name).write_bytes(data)
        found = read_folder(folder)
        assert found is not None
        write_folder(found, folder)

    return read


def _walk(file: TensorFile) -> None:
    for name in file:
        dtype, shape = file.info(name)
        if int(np.prod(shape, dtype=object)) <= LARGEST:
            array = file[name]
            assert (array.dtype, array.shape) == (dtype, shape)
            np.array(array)
        file.release(name)


def _index(data: bytes, folder: Path) -> None:
    shard = folder / "model-00001-of-00001.safetensors"
    if not shard.exists():
        save_file({"a": np.ones(3, np.float32)}, shard)
    path = folder / "model.safetensors.index.json"
    path.write_bytes(data)
    _walk(open_index(path))


def _config(data: bytes, folder: Path) -> None:
    link = folder / "model.safetensors"
    if not link.exists():
        link.symlink_to(GOLDEN / "model.safetensors")
    (folder / "config.json").write_bytes(data)
    open_model(folder)


def _golden(data: bytes, folder: Path) -> None:
    path = folder / "x.npz"
    path.write_bytes(data)
    model = open_model(GOLDEN)
    for prompt in read_golden(path, model):
        prompt.placed(model)


def _adapter(data: bytes, folder: Path) -> None:
    from llm_convert.lora import read_lora

    lora = GOLDEN.parent / "lora_llama_v2_gqa"
    link = folder / "adapter_model.safetensors"
    if not link.exists():
        link.symlink_to(lora / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_bytes(data)
    read_lora(folder, open_model(GOLDEN))


TARGETS: Mapping[str, Callable[[bytes, Path], None]] = MappingProxyType(
    {
        "safetensors": _weights(".safetensors"),
        "torch": _weights(".bin"),
        "pdparams": _weights(".pdparams"),
        "gguf": _gguf,
        "index": _index,
        "config": _config,
        "golden": _golden,
        "adapter": _adapter,
        "sentencepiece": _tokenizer("tokenizer.model"),
        "tokenizer": _tokenizer("tokenizer.json"),
    }
)


def corpus(kind: str) -> list[Path]:
    """The inputs of a kind that are kept: well formed, hostile, and all that ever failed."""
    return sorted((CORPUS / kind).iterdir())
