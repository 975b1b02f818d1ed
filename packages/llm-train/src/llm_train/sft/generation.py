"""Evaluation by answers that the model writes: BLEU-4 and ROUGE of them, and the answers.

The figures are paddlenlp.metrics', over characters, as PaddleNLP's fine-tuning computes them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from llm_cli.outputs import written_file
from llm_data.sft import SftDataset
from llm_data.tokenizer import Tokenizer
from llm_kernels.families import prefix_positions
from llm_kernels.paddle.cache import KeyValueCache
from llm_kernels.paddle.decoder import Decoder
from llm_train.blanks.answers import AnsweredSamples, last_run
from llm_train.blanks.tokens import BlankTokens

logger = logging.getLogger(__name__)
OUTPUT_FILE = "generated_output.json"


class Judge:
    """Has the questions of `samples` answered, greedily, and compares with their last answers.

    `most`: new tokens of an answer; `limit`: so many questions, the first ones; `output`: where
    `generated_output.json` goes, None: nowhere.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        samples: SftDataset | AnsweredSamples,
        *,
        most: int,
        batch: int,
        limit: int | None = None,
        output: Path | None = None,
    ) -> None:
        self._decoder, self._tokenizer, self._samples = decoder, tokenizer, samples
        self._most, self._batch, self._limit, self._output = most, batch, limit, output

    def __call__(self) -> dict[str, float]:
        """`eval_bleu4`, `eval_rouge1`, `eval_rouge2`, `eval_rougel`, each 0 to 1."""
        count = len(self._samples) if self._limit is None else min(self._limit, len(self._samples))
        parts = [question_and_answer(self._samples[index]) for index in range(count)]
        answers: list[list[int]] = []
        layout = self._samples.layout if isinstance(self._samples, AnsweredSamples) else None
        blanks = layout.tokens if layout is not None else None
        end = self._tokenizer.eos_token_id
        if blanks is not None and blanks.end is not None:
            end = blanks.end
        for first in range(0, count, self._batch):
            questions = [question for question, _ in parts[first : first + self._batch]]
            answers += generate(self._decoder, questions, self._most, end, blanks)
        outputs = [self._tokenizer.decode(answer) for answer in answers]
        targets = [self._tokenizer.decode(list(target)) for _, target in parts]
        if self._output is not None:
            _write(self._output / OUTPUT_FILE, outputs, targets)
        return scores(outputs, targets)


def question_and_answer(sample: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Ids of what comes before the last trained run of a sample, and of that run."""
    labels = np.asarray(sample["labels"])
    first, last = last_run(labels)
    ids = np.asarray(sample["input_ids"])
    return ids[: first + 1].tolist(), labels[first : last + 1].tolist()


@paddle.no_grad()
def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    most: int,
    end: int | None,
    blanks: BlankTokens | None = None,
) -> list[list[int]]:
    """The most likely tokens after each prompt, up to `end` (left out) or `most` tokens.

    `blanks`: the tokens that lay out prompts of a family with a prefix mask; None: it is causal.
    """
    longest = max(map(len, prompts))
    ids = np.zeros((len(prompts), longest), np.int64)
    mask = np.zeros((len(prompts), longest), np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    decoder.eval()
    cache, step = KeyValueCache(), paddle.to_tensor(ids)
    asked = _blank_inputs(prompts, longest, blanks) if blanks else {}
    answers: list[list[int]] = [[] for _ in prompts]
    going = [True] * len(prompts)
    for _ in range(most):
        logits = decoder(step, attention_mask=paddle.to_tensor(mask), cache=cache, **asked)
        chosen = paddle.argmax(logits[:, -1], axis=-1).numpy()
        for row, token in enumerate(chosen.tolist()):
            going[row] = going[row] and token != end
            if going[row]:
                answers[row].append(token)
        if not any(going):
            break
        step = paddle.to_tensor(chosen[:, None])
        mask = np.concatenate([mask, np.ones((len(prompts), 1), np.int64)], axis=1)
        if asked:
            last = asked["position_ids"][:, :, -1:]
            asked = {"position_ids": last + paddle.to_tensor([[[0], [1]]])}
    return answers


def _blank_inputs(
    prompts: Sequence[Sequence[int]], longest: int, blanks: BlankTokens
) -> dict[str, paddle.Tensor]:
    """`position_ids` [B, 2, T] and `prefix` [B] of prompts that are filled on the left."""
    positions = np.zeros((len(prompts), 2, longest), np.int64)
    prefix = np.zeros(len(prompts), np.int64)
    for row, prompt in enumerate(prompts):
        places, context = prefix_positions(
            prompt, start_token=blanks.start, mask_tokens=blanks.masks
        )
        positions[row, :, longest - len(prompt) :] = places
        prefix[row] = longest - len(prompt) + context
    return {"position_ids": paddle.to_tensor(positions), "prefix": paddle.to_tensor(prefix)}


def scores(outputs: Sequence[str], targets: Sequence[str]) -> dict[str, float]:
    """BLEU-4 and ROUGE of texts against one reference each, over characters."""
    from paddlenlp.metrics import BLEU, Rouge1, Rouge2, RougeL

    if not any(outputs):
        # They divide by the length of all outputs.
        return dict.fromkeys(("eval_bleu4", "eval_rouge1", "eval_rouge2", "eval_rougel"), 0.0)
    bleu, longest = BLEU(n_size=4), RougeL()
    pairs = [(list(output), list(target)) for output, target in zip(outputs, targets, strict=True)]
    for output, target in pairs:
        bleu.add_inst(output, [target])
        if output and target:
            longest.add_inst(output, [target])
        else:
            longest.inst_scores.append(0.0)
    found = {"eval_bleu4": float(bleu.score()), "eval_rougel": float(longest.score())}
    for name, kind in (("eval_rouge1", Rouge1), ("eval_rouge2", Rouge2)):
        found[name] = float(kind().score(*map(list, zip(*pairs, strict=True))))
    return found


def _write(path: Path, outputs: Sequence[str], targets: Sequence[str]) -> None:
    lines = [
        json.dumps({"output": output, "tgt": target}, ensure_ascii=False) + "\n"
        for output, target in zip(outputs, targets, strict=True)
    ]
    with written_file(path) as stream:
        stream.write("".join(lines).encode())
