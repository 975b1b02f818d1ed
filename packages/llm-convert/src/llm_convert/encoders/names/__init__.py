"""How the hub and PaddleNLP name the tensors of encoders and encoder-decoders: tables only."""

from __future__ import annotations

from llm_convert.encoders.names.albert import ALBERT
from llm_convert.encoders.names.bart import BART
from llm_convert.encoders.names.bert import BERT
from llm_convert.encoders.names.clip import CLIP
from llm_convert.encoders.names.distilbert import DISTILBERT
from llm_convert.encoders.names.electra import ELECTRA
from llm_convert.encoders.names.roberta import ROBERTA
from llm_convert.encoders.names.roformer import ROFORMER
from llm_convert.encoders.names.t5 import ERNIE_CODE, MT5, T5

ENCODERS = (
    ALBERT,
    BART,
    BERT,
    CLIP,
    DISTILBERT,
    ELECTRA,
    ERNIE_CODE,
    MT5,
    ROBERTA,
    ROFORMER,
    T5,
)

__all__ = ["ENCODERS"]
