"""The byte layouts: opening and checking `.bin/.idx` and `_ids.npy/_idx.npz`.

`.bin` holds the token ids one after the other. `.idx` holds `MMIDIDX` and two zero bytes, version 1
(u64), dtype code (u8), sequence count n (u64), length of the document index (u64), then int32
sizes [n], int64 byte offsets [n], int64 document index [D + 1] counted in sequences, first 0.
The older form holds all ids in one `.npy`, and `lens` int32 [n], `docs` int64 [D + 1] in an `.npz`.
"""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_data.errors import IndexedDataError

IntArray = NDArray[Any]
MAGIC = b"MMIDIDX\x00\x00"
LAZY_MAGIC = b"TNTIDX\x00\x00"
HEADER = struct.Struct("<9sQBQQ")
CODES: dict[int, type[np.generic]] = {
    1: np.uint8,
    2: np.int8,
    3: np.int16,
    4: np.int32,
    5: np.int64,
    8: np.uint16,
    9: np.uint32,
    10: np.uint64,
}
"""Integer types of the layout; codes 6 and 7 are floats, which are no token ids."""
CHUNK = 1 << 20
"""Entries of an index looked at in one go."""


@dataclass(frozen=True)
class Opened:
    """The arrays of one prefix."""

    tokens: IntArray
    """All ids [T]."""
    starts: IntArray
    """Where each of the n sequences begins, in multiples of 1/`unit` tokens, int64 [n]."""
    unit: int
    documents: IntArray
    """First sequence of each document and, last, n: int64 [D + 1]."""


def dtype_for(vocab_size: int) -> np.dtype[Any]:
    """uint16 for a vocabulary below 65,500, else int32: what Megatron and PaddleNLP expect."""
    return np.dtype(np.uint16 if vocab_size < 65_500 else np.int32)


def suffixed(prefix: Path, suffix: str) -> Path:
    """The file of a prefix, whose name may itself hold dots."""
    return prefix.with_name(prefix.name + suffix)


def without_suffix(prefix: str) -> str:
    """The prefix that a path to one of its files belongs to."""
    for suffix in (".bin", ".idx", "_ids.npy", "_idx.npz"):
        if prefix.endswith(suffix):
            return prefix[: -len(suffix)]
    return prefix


def find_prefixes(input_dir: str | Path) -> list[Path]:
    """Prefixes directly in a folder, sorted; a prefix (or one of its files) stands for itself.

    Raises IndexedDataError when there is none.
    """
    folder = Path(input_dir).expanduser()
    if folder.is_dir():
        files = [*folder.glob("*.idx"), *folder.glob("*_idx.npz")]
        found = sorted({Path(without_suffix(str(path))) for path in files})
    else:
        prefix = Path(without_suffix(str(folder)))
        present = any(suffixed(prefix, suffix).is_file() for suffix in (".idx", "_idx.npz"))
        found = [prefix] if present else []
    if not found:
        message = (
            f"No pretraining data at {folder}: no *.idx and no *_idx.npz is there. "
            "Make it with `llm data tokenize --output_prefix PREFIX`."
        )
        raise IndexedDataError(message)
    return found


def open_prefix(prefix: Path) -> Opened:
    """Map the files of a prefix. Raises IndexedDataError if missing, truncated, inconsistent."""
    if suffixed(prefix, ".idx").is_file():
        return _open_bin(prefix)
    if suffixed(prefix, "_idx.npz").is_file():
        return _open_npy(prefix)
    message = (
        f"No pretraining data at prefix {prefix}: neither {prefix.name}.idx nor "
        f"{prefix.name}_idx.npz exists. Make it with `llm data tokenize`."
    )
    raise IndexedDataError(message)


def _open_bin(prefix: Path) -> Opened:
    idx, bin_ = suffixed(prefix, ".idx"), suffixed(prefix, ".bin")
    dtype, count, entries = _read_header(idx)
    expected = HEADER.size + 12 * count + 8 * entries
    if idx.stat().st_size != expected:
        message = (
            f"{idx} has {idx.stat().st_size} bytes, its header asks for {expected}: it was cut "
            "off or damaged. Make it again."
        )
        raise IndexedDataError(message)
    if not bin_.is_file():
        message = f"{bin_} is missing beside {idx.name}. Copy both files."
        raise IndexedDataError(message)
    sizes = _map(idx, np.dtype("<i4"), HEADER.size, count)
    starts = _map(idx, np.dtype("<i8"), HEADER.size + 4 * count, count)
    documents = _map(idx, np.dtype("<i8"), HEADER.size + 12 * count, entries)
    end = int(starts[-1]) + int(sizes[-1]) * dtype.itemsize if count else 0
    if bin_.stat().st_size != end:
        message = (
            f"{bin_} has {bin_.stat().st_size} bytes, {idx.name} describes {end}: one of the two "
            "was cut off, or they are of different runs. Make them again."
        )
        raise IndexedDataError(message)
    _check_contiguous(idx, sizes, starts, dtype.itemsize)
    _check_documents(idx, documents, count)
    tokens = _map(bin_, dtype, 0, end // dtype.itemsize)
    return Opened(tokens, starts, dtype.itemsize, documents)


def _read_header(idx: Path) -> tuple[np.dtype[Any], int, int]:
    with idx.open("rb") as stream:
        head = stream.read(HEADER.size)
    if head.startswith(LAZY_MAGIC):
        message = f"{idx} was written with data_impl 'lazy'; only 'mmap' is read. Tokenize again."
        raise IndexedDataError(message)
    if len(head) < HEADER.size and MAGIC.startswith(head[: len(MAGIC)]):
        message = (
            f"{idx} has {len(head)} bytes, fewer than its header's {HEADER.size}: it was cut off. "
            "Copy it again, or make it again with `llm data tokenize`."
        )
        raise IndexedDataError(message)
    if not head.startswith(MAGIC):
        message = (
            f"{idx} is no index of pretraining data (it begins with {head[:9]!r}). Name the prefix "
            "of files that `llm data tokenize` made."
        )
        raise IndexedDataError(message)
    _, version, code, count, entries = HEADER.unpack(head)
    if version != 1:
        message = f"{idx} has version {version}; version 1 is read."
        raise IndexedDataError(message)
    if code not in CODES:
        message = f"{idx} has dtype code {code}, which is no integer type of the layout."
        raise IndexedDataError(message)
    return np.dtype(CODES[code]).newbyteorder("<"), count, entries


def _map(path: Path, dtype: np.dtype[Any], offset: int, count: int) -> IntArray:
    if count == 0:
        return np.empty(0, dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=(count,))


def _check_contiguous(idx: Path, sizes: IntArray, starts: IntArray, itemsize: int) -> None:
    """Sequences follow each other without gaps; then a document is one slice of the tokens."""
    expected = 0
    for begin in range(0, sizes.size, CHUNK):
        part = sizes[begin : begin + CHUNK].astype(np.int64) * itemsize
        ends = expected + np.cumsum(part)
        if part.min() < 0 or not np.array_equal(starts[begin : begin + CHUNK], ends - part):
            message = f"{idx} lists sequences that overlap or leave gaps. Make it again."
            raise IndexedDataError(message)
        expected = int(ends[-1])


def _check_documents(path: Path, documents: IntArray, count: int) -> None:
    ordered = all(
        bool(np.all(np.diff(documents[begin : begin + CHUNK + 1]) >= 0))
        for begin in range(0, documents.size, CHUNK)
    )
    if not documents.size or documents[0] != 0 or documents[-1] != count or not ordered:
        message = f"{path} has a document index that does not run from 0 to {count}. Make it again."
        raise IndexedDataError(message)


def _open_npy(prefix: Path) -> Opened:
    ids, idx = suffixed(prefix, "_ids.npy"), suffixed(prefix, "_idx.npz")
    try:
        tokens = np.load(ids, mmap_mode="r", allow_pickle=False)
        with np.load(idx, allow_pickle=False) as arrays:
            lengths = np.asarray(arrays["lens"], dtype=np.int64)
            documents = np.asarray(arrays["docs"], dtype=np.int64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        message = f"{ids} and {idx.name} are not readable ({error}). Copy or make them again."
        raise IndexedDataError(message) from error
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        message = f"{ids} holds {tokens.dtype} of shape {tokens.shape}; one row of ids is needed."
        raise IndexedDataError(message)
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if ends.size else 0
    if total != tokens.size or (lengths.size and lengths.min() < 0):
        message = (
            f"{ids} holds {tokens.size} tokens, {idx.name} describes {total}: one of the two was "
            "cut off, or they are of different runs. Make them again."
        )
        raise IndexedDataError(message)
    _check_documents(idx, documents, lengths.size)
    return Opened(tokens, ends - lengths, 1, documents)
