"""`llm convert --verify MODEL --golden FILE`: does a model compute what the original computed?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llm_cli.console import console
from llm_cli.progress import progress
from llm_convert.convert.options import ConvertOptions
from llm_convert.foreign.opening import open_path
from llm_convert.verify.comparison import Comparison, compare
from llm_convert.verify.decoders import Session, sessions
from llm_convert.verify.golden import GoldenPrompt, read_golden


@dataclass(frozen=True)
class Generation:
    """Greedy ids against those recorded: how many of each, and the worst miss.

    `gap`: how far our logit of a recorded id was at most below our largest one; within twice the
    tolerance it is a tie that either implementation may break its own way.
    """

    tokens: int
    equal: int
    gap: float


def verify_golden(options: ConvertOptions) -> int:
    """Compare as the options say and print what was found; 0 within the tolerance, 1 beyond.

    Raises FileFormatError for an .npz that does not fit, and the errors of opening the model.
    """
    assert options.verify is not None
    assert options.golden is not None
    model = open_path(Path(options.verify))
    prompts = read_golden(Path(options.golden), model)
    placed = [prompt.placed(model) for prompt in prompts]
    begin = sessions(options.decoder, model, max(positions.shape[1] for positions, _ in placed))
    found: list[np.ndarray] = []
    generations: list[Generation] = []
    with progress("verify", total=len(prompts), unit="prompts") as bar:
        for prompt, (positions, prefix) in zip(prompts, placed, strict=True):
            session = begin()
            count = len(prompt.tokens)
            found.append(session(prompt.tokens, positions[:, :count], prefix))
            if prompt.generated is not None:
                generations.append(_generate(session, prompt, positions, found[-1][-1]))
            bar.advance()
    wanted = np.concatenate([prompt.logits for prompt in prompts])
    return _report(options, len(prompts), compare(wanted, np.concatenate(found)), generations)


def _generate(
    session: Session, prompt: GoldenPrompt, positions: np.ndarray, logits: np.ndarray
) -> Generation:
    """Feed the recorded ids one by one; each should be our own choice at its place."""
    assert prompt.generated is not None
    equal, gap = 0, 0.0
    at = len(prompt.tokens)
    for index, token in enumerate(prompt.generated):
        if index:
            before = prompt.generated[index - 1 : index]
            logits = session(before, positions[:, at : at + 1], 0)[-1]
            at += 1
        equal += int(logits.argmax() == token)
        # np.maximum keeps a NaN where Python's max may drop it.
        gap = float(np.maximum(gap, logits.max() - logits[token]))
    return Generation(len(prompt.generated), equal, gap)


def _report(
    options: ConvertOptions, prompts: int, compared: Comparison, generations: list[Generation]
) -> int:
    within = compared.max_abs_diff <= options.tolerance
    console.print(
        f"{options.verify} on {prompts} prompts ({compared.tokens} tokens), {options.decoder} "
        f"decoder: logits differ by at most {compared.max_abs_diff:.3g} (tolerance "
        f"{options.tolerance:g}, largest logit {compared.max_abs_logit:.3g}), top-1 agreement "
        f"{compared.top1_agreement:.2%}, KL {compared.mean_kl:.2g} nats."
    )
    ties = True
    if generations:
        equal, total = sum(g.equal for g in generations), sum(g.tokens for g in generations)
        gap = float(np.max([g.gap for g in generations]))
        ties = gap <= 2 * options.tolerance
        same = "equal" if equal == total else f"not equal: {total - equal} differ, by {gap:.3g}"
        console.print(f"Generated tokens ({total} after {len(generations)} prompts): {same}.")
    else:
        console.print("Generated tokens: none in the file.")
    verdict = "agree" if within and ties else "DIFFER beyond the tolerance"
    console.print(f"The model and {options.golden} {verdict}.")
    return 0 if within and ties else 1
