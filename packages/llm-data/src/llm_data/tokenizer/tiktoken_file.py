"""Tokenizers stored as a list of byte strings and ranks, run by `tiktoken`.

`qwen.tiktoken`, and the `tokenizer.model` of Llama 3 and GLM-4: lines of base64 and a number. The
expression that cuts words and the special tokens are in the models' code; here they are rows of
`SCHEMES`, chosen by the count of ranks or else by the file's name.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_data.errors import TokenizerError
from llm_data.tokenizer.copying import copy_tokenizer_files
from llm_data.tokenizer.patterns import LLAMA3_PATTERN, QWEN_PATTERN
from llm_data.tokenizer.roles import Roles
from llm_data.tokenizer.special_tokens import read_special_tokens

_LONG_BLANK = re.compile(r"\s{25000}")
"""Where a text is cut, as Llama 3's own tokenizer does: tiktoken's stack ends at longer blanks."""


@dataclass(frozen=True)
class TiktokenScheme:
    """What a model's code knows and its file does not say."""

    ranks: int
    """Byte strings in the published file."""
    pattern: str
    special: tuple[str, ...]
    """Special tokens, in the order of their ids, which follow the ranks."""
    normalize: bool = False
    """Whether texts are brought into Unicode's form C first."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Special tokens where the config files name none."""
    before: tuple[str, ...] = ()
    """What `add_special_tokens` puts before a text."""


def _reserved(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"<|reserved_special_token_{i}|>" for i in range(first, last))


_QWEN_END = "<|endoftext|>"
QWEN = TiktokenScheme(
    151643,
    QWEN_PATTERN,
    (_QWEN_END, "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205))),
    normalize=True,
    roles={"eos_token": _QWEN_END, "pad_token": _QWEN_END},
)
LLAMA3 = TiktokenScheme(
    128000,
    LLAMA3_PATTERN,
    (
        "<|begin_of_text|>",
        "<|end_of_text|>",
        *_reserved(0, 4),
        "<|start_header_id|>",
        "<|end_header_id|>",
        *_reserved(4, 5),
        "<|eot_id|>",
        *_reserved(5, 251),
    ),
    roles={"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"},
    before=("<|begin_of_text|>",),
)
GLM4 = TiktokenScheme(
    151329,
    LLAMA3_PATTERN,
    (
        *("<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>"),
        *("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
        *("<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"),
    ),
    roles={"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
    before=("[gMASK]", "<sop>"),
)
SCHEMES = {scheme.ranks: scheme for scheme in (QWEN, LLAMA3, GLM4)}


class TiktokenTokenizer(Roles):
    """`Tokenizer` over one file of ranks and the config files beside it."""

    def __init__(self, file: Path) -> None:
        """Raises TokenizerError when the file is corrupt or tiktoken is not installed."""
        self.file = file
        self.path = file.parent
        ranks = _read_ranks(file)
        by_name = QWEN if file.suffix == ".tiktoken" else LLAMA3
        self.scheme = SCHEMES.get(len(ranks), by_name)
        self.special_tokens = self._special_ids(max(ranks.values(), default=-1) + 1)
        self._encoding = _encoding(self.scheme.pattern, ranks, self.special_tokens)
        self._special_texts = {i: text for text, i in self.special_tokens.items()}
        self.vocab_size = max([*ranks.values(), *self.special_tokens.values()], default=-1) + 1
        self._known = frozenset(ranks.values())
        self._before = [
            self.special_tokens[t] for t in self.scheme.before if t in self.special_tokens
        ]

    def __reduce__(self) -> tuple[type[TiktokenTokenizer], tuple[Path]]:
        return TiktokenTokenizer, (self.file,)

    def _special_ids(self, first: int) -> dict[str, int]:
        special = read_special_tokens(self.path)
        ids = {text: first + i for i, text in enumerate(self.scheme.special)}
        # Later releases of a model rename reserved tokens: what the config says of an id holds.
        taken = set(special.added_ids.values())
        ids = {text: i for text, i in ids.items() if i not in taken} | special.added_ids
        self.roles = {**self.scheme.roles, **special.roles}
        return dict(sorted(ids.items(), key=lambda item: item[1]))

    def normalized(self, text: str) -> str:
        """`text` as its bytes are cut into pieces."""
        return unicodedata.normalize("NFC", text) if self.scheme.normalize else text

    def encode(
        self, text: str, add_special_tokens: bool = False, *, parse_special: bool = False
    ) -> list[int]:
        """Ids of `text` (see `Tokenizer.encode`)."""
        ids = list(self._before) if add_special_tokens else []
        for part in _without_long_blanks(self.normalized(text)):
            if parse_special:
                ids += self._encoding.encode(part, allowed_special="all", disallowed_special=())
            else:
                ids += self._encoding.encode_ordinary(part)
        return ids

    def encode_batch(
        self, texts: Sequence[str], add_special_tokens: bool = False, *, parse_special: bool = False
    ) -> list[list[int]]:
        """Ids of each text."""
        return [
            self.encode(text, add_special_tokens, parse_special=parse_special) for text in texts
        ]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Text of `ids`; ids that nothing has are left out."""
        kept = [
            token_id
            for token_id in map(int, ids)
            if token_id in self._known
            or (not skip_special_tokens and token_id in self._special_texts)
        ]
        return str(self._encoding.decode(kept, errors="replace"))

    def id_to_token(self, token_id: int) -> str | None:
        """The special token or the bytes with this id, bytes that are no text as U+FFFD."""
        if token_id in self._special_texts:
            return self._special_texts[token_id]
        if token_id not in self._known:
            return None
        return bytes(self._encoding.decode_single_token_bytes(token_id)).decode("utf-8", "replace")

    def save(self, folder: str | Path) -> None:
        """Copy the tokenizer's files into an existing folder."""
        copy_tokenizer_files(self.path, folder, (self.file.name,))


def is_rank_file(path: Path) -> bool:
    """Whether `path` begins with a line of base64 and a number."""
    with path.open("rb") as stream:
        head = stream.readline(4096)
    try:
        _rank(head)
    except ValueError:
        return False
    return True


def _rank(line: bytes) -> tuple[bytes, int]:
    token, rank = line.split()
    return base64.b64decode(token, validate=True), int(rank)


def _read_ranks(file: Path) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if not line:
            continue
        try:
            token, rank = _rank(line)
        except (ValueError, binascii.Error) as error:
            message = f"{file}:{number} is no line of base64 and a number. Copy the file again."
            raise TokenizerError(message) from error
        ranks[token] = rank
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        message = f"{file} is cut off: it has no rank for byte {missing[0]}. Copy the file again."
        raise TokenizerError(message)
    return ranks


def _without_long_blanks(text: str) -> list[str]:
    cuts = [match.end() for match in _LONG_BLANK.finditer(text)]
    return [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _encoding(pattern: str, ranks: dict[bytes, int], special: dict[str, int]) -> Any:
    try:
        import tiktoken
    except ImportError as error:
        message = (
            "The tokenizer is a tiktoken file and tiktoken is not installed. "
            "Install it with: pip install tiktoken"
        )
        raise TokenizerError(message) from error
    return tiktoken.Encoding(
        "ranks", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special
    )
