"""From logits to the next token of each row: penalties and bans, filters, the draw, logprobs.

Rows are independent: a row's token depends on its logits, its parameters and its own random stream,
never on its neighbours in the batch.
"""

from __future__ import annotations

from llm_infer.engine.sampling.filters import distribution
from llm_infer.engine.sampling.logprobs import Logprobs, log_softmax, token_logprobs
from llm_infer.engine.sampling.rows import RowState
from llm_infer.engine.sampling.sampler import sample

__all__ = ["Logprobs", "RowState", "distribution", "log_softmax", "sample", "token_logprobs"]
