"""Logits and tokens that a user saved from a model's original implementation, as an .npz.

    prompt_i       int64 [T]              the ids of prompt i, from 0
    logits_i       float32 [T, V]         its logits
    generated      int64 [N, G]           optional: greedy ids after each of the N prompts
    generated_i    int64 [G]              optional: the same for one prompt, preferred
    position_ids_i int64 [2, T or more]   for models with a prefix mask (ChatGLM-6B, GLM) whose
                                          config.json does not name the mask and start tokens

Other arrays are not looked at. Nothing is unpickled.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from llm_convert.errors import FileFormatError
from llm_convert.model import Model
from llm_kernels.families import prefix_positions

_WANTED = re.compile(r"(prompt|logits|generated|position_ids)(_\d+)?")
_PROMPT = re.compile(r"prompt_(\d+)")
# What zipfile, zlib and NumPy raise for files that are not right.
_UNREADABLE = (
    *(ValueError, TypeError, KeyError, OverflowError, SyntaxError, MemoryError),
    *(OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error),
)
_EXPECTED = (
    "Save prompt_i int64 [T] and logits_i float32 [T, V] for i = 0, 1, ..., and optionally "
    "generated int64 [N, G]."
)


@dataclass(frozen=True)
class GoldenPrompt:
    """One prompt: `tokens` int [T], `logits` float32 [T, V], `generated` int [G] or None.

    `positions` int [2, T or more]: as the file states them; None where it does not.
    """

    name: str
    tokens: np.ndarray
    logits: np.ndarray
    generated: np.ndarray | None
    positions: np.ndarray | None

    def placed(self, model: Model) -> tuple[np.ndarray, int]:
        """Positions int [1 or 2, T + G] of prompt and answer, and the length of the prefix.

        Raises FileFormatError where a model with a prefix mask states its tokens nowhere.
        """
        answer = 0 if self.generated is None else len(self.generated)
        count = len(self.tokens) + answer
        if model.spec.mask != "prefix":
            return np.arange(count)[None], 0
        if self.positions is not None:
            positions = self.positions
            prefix = int(np.argmax(positions[1] > 0)) if positions[1].any() else len(self.tokens)
        else:
            positions, prefix = self._from_config(model)
        extra = np.arange(1, count - positions.shape[1] + 1)
        last = positions[:, -1:]
        following = np.stack([np.broadcast_to(last[0], extra.shape), last[1] + extra])
        return np.concatenate([positions, following], axis=1)[:, :count], prefix

    def _from_config(self, model: Model) -> tuple[np.ndarray, int]:
        start = model.config.get("bos_token_id")
        stated = [model.config.get(name) for name in ("gmask_token_id", "mask_token_id")]
        masks = [mask for mask in stated if mask is not None]
        if start is None or not masks:
            message = (
                f"{self.name} needs its positions: {model.spec.name} has two for each token, and "
                "config.json does not name the mask and start tokens that they follow from. Add "
                f"position_ids_{self.name.removeprefix('prompt_')} int64 [2, T] to the file."
            )
            raise FileFormatError(message)
        return prefix_positions(self.tokens, start_token=start, mask_tokens=masks)


def read_golden(path: Path, model: Model) -> list[GoldenPrompt]:
    """The prompts of a file, checked against each other and the model's vocabulary.

    Raises:
        FileFormatError: missing, no .npz, or arrays that are absent, of another type or shape.
    """
    arrays = _arrays(path)
    numbers = sorted(int(found[1]) for name in arrays if (found := _PROMPT.fullmatch(name)))
    if not numbers:
        held = ", ".join(sorted(arrays)) or "nothing"
        _refuse(path, f"holds no prompt_0 (it holds {held[:200]})")
    return [_prompt(path, arrays, number, at, model) for at, number in enumerate(numbers)]


def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            _refuse(path, "is a single array, not an .npz")
        with loaded as file:
            return {name: file[name] for name in file.files if _WANTED.fullmatch(name)}
    except FileNotFoundError as error:
        message = f"{path} does not exist."
        raise FileFormatError(message) from error
    except _UNREADABLE as error:
        if isinstance(error, FileFormatError):
            raise
        message = f"{path} is no readable .npz: {error}."
        raise FileFormatError(message) from error


def _prompt(
    path: Path, arrays: Mapping[str, np.ndarray], number: int, at: int, model: Model
) -> GoldenPrompt:
    name = f"prompt_{number}"
    tokens, logits = arrays[name], arrays.get(f"logits_{number}")
    if logits is None:
        _refuse(path, f"has {name} but no logits_{number}")
    _check_ids(path, name, tokens, model.sizes.vocab)
    wanted = (len(tokens), model.sizes.vocab)
    if logits.dtype.kind != "f" or logits.shape != wanted:
        _refuse(
            path,
            f"has logits_{number} of {logits.dtype} {list(logits.shape)}; this prompt and model "
            f"need float32 {list(wanted)}",
        )
    generated = arrays.get(f"generated_{number}")
    if generated is None and "generated" in arrays:
        rows = arrays["generated"]
        if rows.ndim != 2 or len(rows) <= at:
            _refuse(path, f"has generated of shape {list(rows.shape)}, without a row for {name}")
        generated = rows[at]
    if generated is not None:
        _check_ids(path, f"generated ids of {name}", generated, model.sizes.vocab)
    positions = arrays.get(f"position_ids_{number}")
    if positions is not None and (
        positions.dtype.kind not in "iu"
        or positions.ndim != 2
        or len(positions) != 2
        or positions.shape[1] < len(tokens)
    ):
        if model.spec.mask == "prefix":
            _refuse(path, f"has position_ids_{number} of {positions.dtype} {positions.shape}")
        positions = None
    return GoldenPrompt(name, tokens, logits, generated, positions)


def _check_ids(path: Path, name: str, ids: np.ndarray, vocab: int) -> None:
    if ids.dtype.kind not in "iu" or ids.ndim != 1 or not ids.size:
        _refuse(path, f"has {name} of {ids.dtype} {list(ids.shape)}, not int64 [T]")
    if ids.min() < 0 or ids.max() >= vocab:
        _refuse(
            path,
            f"has ids from {ids.min()} to {ids.max()} in {name}; the model knows 0-{vocab - 1}",
        )


def _refuse(path: Path, what: str) -> NoReturn:
    message = f"{path} {what}. {_EXPECTED}"
    raise FileFormatError(message)
