"""Two-dimensional positions of the families with a prefix mask: ChatGLM-6B and GLM.

Their prompts hold a mask token, which the answer replaces, and end in a start token. Up to the
start token everything sees everything; from there on the first position stays that of the mask
token and the second counts the answer (Du et al. 2021, arXiv:2103.10360, section 2.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llm_kernels.errors import ShapeError


def prefix_positions(
    token_ids: Sequence[int] | np.ndarray, *, start_token: int, mask_tokens: Sequence[int]
) -> tuple[np.ndarray, int]:
    """Positions int64 [2, T] of a prompt and the length of its prefix.

    `start_token`: `<sop>`, the configuration's bos for ChatGLM-6B. `mask_tokens`: ids that may
    stand for the answer, preferred ones first ([gMASK] before [MASK]). Token n of the answer, from
    0, has positions [positions[0, -1], positions[1, -1] + 1 + n].

    Raises ShapeError for a prompt without a start token or a mask token.
    """
    tokens = np.asarray(token_ids)
    starts = np.flatnonzero(tokens == start_token)
    masks = [token for token in mask_tokens if (tokens == token).any()]
    if not len(starts) or not masks:
        message = (
            f"A prompt of this family needs its start token ({start_token}) and one of its mask "
            f"tokens ({', '.join(map(str, mask_tokens))}); got neither or only one of them. "
            "Build the prompt with the model's own tokenizer."
        )
        raise ShapeError(message)
    context = int(starts[0])
    count = np.arange(len(tokens))
    answering = count >= context
    first = np.where(answering, int(np.flatnonzero(tokens == masks[0])[0]), count)
    second = np.where(answering, count - context + 1, 0)
    return np.stack([first, second]), context
