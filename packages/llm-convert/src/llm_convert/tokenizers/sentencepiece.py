"""A sentencepiece model as a `Vocabulary`, and the other way round, without sentencepiece.

Only its BPE is carried: what GGUF's readers do with scores is right for that alone.
Format: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

import struct
from pathlib import Path

from llm_convert.errors import FileFormatError
from llm_convert.tokenizers.protobuf import Fields, fields, message, number
from llm_convert.tokenizers.vocabulary import Kind, UncarriedError, Vocabulary

FILE = "tokenizer.model"
_BPE, _UNIGRAM = 2, 1
# Numbers of the fields.
_PIECE, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _KIND = 1, 2, 3
_MODEL_TYPE, _VOCAB_SIZE, _BYTE_FALLBACK = 3, 4, 35
_IDS = {"unk": 40, "bos": 41, "eos": 42, "pad": 43}
_DEFAULT_IDS = {"unk": 0, "bos": 1, "eos": 2, "pad": -1}
_NAME, _CHARSMAP, _DUMMY_PREFIX, _REMOVE_SPACES, _ESCAPE = 1, 2, 3, 4, 5


def read_sentencepiece(path: Path) -> Vocabulary:
    """The vocabulary of a sentencepiece model; added tokens are those of other files.

    Raises UncarriedError for what GGUF has no place for, FileFormatError for a damaged file.
    """
    try:
        return _vocabulary(path.read_bytes())
    except (OSError, ValueError, IndexError, struct.error) as error:
        if isinstance(error, UncarriedError):
            raise
        text = f"{path} is no sentencepiece model: {error}."
        raise FileFormatError(text) from error


def sentencepiece_bytes(vocabulary: Vocabulary) -> bytes:
    """The file of a model."""
    vocabulary = vocabulary.trimmed()
    rows = zip(vocabulary.tokens, vocabulary.scores, vocabulary.kinds, strict=True)
    pieces = [
        (_PIECE, message((_TEXT, text), (_SCORE, score), (_KIND, int(kind))))
        for text, score, kind in rows
    ]
    ids = [(field, vocabulary.ids.get(role, -1)) for role, field in _IDS.items()]
    trainer = message(
        (_MODEL_TYPE, _BPE),
        (_VOCAB_SIZE, len(pieces)),
        (_BYTE_FALLBACK, int(Kind.BYTE in vocabulary.kinds)),
        *ids,
    )
    normalizer = message(
        (_NAME, "identity"),
        (_DUMMY_PREFIX, int(vocabulary.add_space)),
        (_REMOVE_SPACES, 0),
        (_ESCAPE, 1),
    )
    return message(*pieces, (_TRAINER, trainer), (_NORMALIZER, normalizer))


def _vocabulary(data: bytes) -> Vocabulary:
    model = fields(data)
    trainer = fields(model.last(_TRAINER, b""))
    normalizer = fields(model.last(_NORMALIZER, b""))
    _check(trainer, normalizer)
    pieces = [fields(piece) for piece in model.all(_PIECE)]
    tokens = tuple(piece.last(_TEXT, b"").decode("utf-8") for piece in pieces)
    kinds = tuple(Kind(piece.last(_KIND, 1)) for piece in pieces)
    if kinds.count(Kind.BYTE) != 256:
        text = "it has no token for every byte, which readers of GGUF fall back on"
        raise UncarriedError(text)
    ids = {role: number(trainer.last(_IDS[role], _DEFAULT_IDS[role])) for role in _IDS}
    return Vocabulary(
        "sentencepiece",
        tokens,
        kinds,
        scores=tuple(struct.unpack("<f", piece.last(_SCORE, bytes(4)))[0] for piece in pieces),
        ids={role: i for role, i in ids.items() if 0 <= i < len(tokens)},
        add_bos=True,
        add_space=bool(normalizer.last(_DUMMY_PREFIX, 1)),
    )


def _check(trainer: Fields, normalizer: Fields) -> None:
    kind = trainer.last(_MODEL_TYPE, _UNIGRAM)
    if kind != _BPE:
        name = "unigram" if kind == _UNIGRAM else f"of type {kind}"
        text = f"its sentencepiece model is {name}; only BPE is carried to GGUF files of this kind"
        raise UncarriedError(text)
    if normalizer.last(_CHARSMAP, b""):
        text = "its sentencepiece model rewrites characters, which readers of GGUF do not"
        raise UncarriedError(text)
    if normalizer.last(_REMOVE_SPACES, 1):
        text = "its sentencepiece model removes spaces, which readers of GGUF do not"
        raise UncarriedError(text)
