"""``python report.py RUN`` writes ``RUN/report.md`` and ``RUN/loss.png`` from what the steps left.

The report judges itself: each bar is stated with the figure that was reached and said at the end.
The exit code is 1 when one of quality is missed; time, which a busy or slow machine misses, is only
reported.
"""

from __future__ import annotations

import json
import math
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEAST_GAIN = 1.0
MOST_INT4_CHANGE = 3.0
MOST_SECONDS = 480
MOST_CHARACTERS = 240
"""Of an answer in the report."""


@dataclass(frozen=True)
class Bar:
    """What should hold, as a sentence with the figure; whether it does, and whether it must."""

    text: str
    held: bool
    must: bool = True

    def __str__(self) -> str:
        """The verdict and the sentence."""
        if self.held:
            return f"reached: {self.text}"
        return f"MISSED{'' if self.must else ', which does not fail the run'}: {self.text}"


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def held_out(run: Path, phase: str) -> tuple[list[int], list[float]]:
    """Steps and held-out losses (nats a token) of a training phase."""
    rows = [row for row in lines(run / phase / "metrics.jsonl") if "eval_loss" in row]
    return [row["step"] for row in rows], [row["eval_loss"] for row in rows]


def watched_tokens(run: Path, phase: str) -> int:
    """Held-out tokens that the evaluations of a training phase looked at."""
    rows = lines(run / phase / "metrics.jsonl")
    return int(next(row["eval_tokens"] for row in rows if "eval_tokens" in row))


def trained(run: Path, phase: str) -> tuple[list[int], list[float]]:
    """Steps and training losses of a training phase."""
    rows = [row for row in lines(run / phase / "metrics.jsonl") if "loss" in row]
    return [row["step"] for row in rows], [row["loss"] for row in rows]


def draw(run: Path, quality: dict[str, Any]) -> None:
    """``loss.png``: both phases, held-out and training loss against step, and the report's."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), constrained_layout=True)
    for axis, phase, title in zip(axes, ("base", "lora"), ("Pretraining", "LoRA"), strict=True):
        axis.plot(*trained(run, phase), color="0.7", linewidth=1, label="training batches")
        label = f"held out, {watched_tokens(run, phase):,} tokens"
        axis.plot(*held_out(run, phase), color="C0", marker="o", markersize=4, label=label)
        axis.set(title=title, xlabel="step", ylabel="loss (nats a token)")
        axis.grid(alpha=0.3)
    data, final = quality["data"], quality["models"][2]["loss"]
    scored, last = f"the report's {data['scored_tokens']:,}", held_out(run, "base")[0][-1]
    axes[0].plot([last], [final], color="C3", marker="*", linestyle="", label=f"{scored} tokens")
    entropy = data["unigram_entropy"]
    axes[0].axhline(entropy, color="C3", linestyle="--", label=f"unigram entropy, {scored}")
    for axis in axes:
        axis.legend()
    figure.savefig(run / "loss.png", dpi=120)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    head = [" | ".join(columns), " | ".join("---" for _ in columns)]
    return "\n".join(f"| {line} |" for line in head + [" | ".join(map(str, r)) for r in rows])


def folder_megabytes(path: Path) -> str:
    """Size of a model's weight files."""
    kinds = ("*.safetensors", "*.pdparams")
    return f"{sum(f.stat().st_size for kind in kinds for f in path.glob(kind)) / 1e6:.1f}"


def bars(quality: dict[str, Any], seconds: dict[str, float]) -> list[Bar]:
    """The two bars of quality, then that of time."""
    entropy, scored = (quality["data"][name] for name in ("unigram_entropy", "scored_tokens"))
    merged, int4 = (model["perplexity"] for model in quality["models"][:2])
    final = quality["models"][2]["loss"]
    change = 100 * (int4 / merged - 1)
    total = sum(value for name, value in seconds.items() if name != "report")
    return [
        Bar(
            f"After pretraining the loss over {scored:,} held-out tokens is {final:.3f} nats, "
            f"{entropy - final:.3f} below the unigram entropy of the same tokens, {entropy:.3f} "
            f"(bar: {LEAST_GAIN} below).",
            entropy - final >= LEAST_GAIN,
        ),
        Bar(
            f"Perplexity of int4 is {int4:.3f}, {change:+.2f} % against {merged:.3f} in fp32 "
            f"(bar: within {MOST_INT4_CHANGE} %).",
            abs(change) <= MOST_INT4_CHANGE,
        ),
        Bar(
            f"All steps took {total:.0f} s on this machine (bar: {MOST_SECONDS} s on two cores).",
            total <= MOST_SECONDS,
            must=False,
        ),
    ]


def quality_rows(run: Path, quality: dict[str, Any]) -> list[tuple[object, ...]]:
    """Perplexity and size of the three models, in the order of their life."""
    merged, int4, base = quality["models"]
    named = (("base", "base fp32", base), ("merged", "merged fp32", merged), ("int4", "int4", int4))
    return [
        (label, f"{model['perplexity']:.3f}", f"{model['loss']:.4f}", folder_megabytes(run / name))
        for name, label, model in named
    ]


def speed_rows(run: Path) -> list[tuple[object, ...]]:
    """Figures of the two benchmarks."""
    rows = []
    for kind in ("fp32", "int4"):
        figures = json.loads((run / f"benchmark-{kind}.json").read_text(encoding="utf-8"))
        rates = (figures[f"{phase}_tokens_per_s"] for phase in ("decode", "prefill"))
        rows.append(
            (
                kind,
                figures["cachekv"],
                *(f"{rate:,.0f}" for rate in rates),
                f"{figures['rss_mb']:,.0f}",
            )
        )
    return rows


def samples(run: Path) -> str:
    """The ten answers of the int4 model."""
    parts = []
    for number, row in enumerate(lines(run / "answers.json"), 1):
        parts.append(
            f"**{number}.** asked\n\n```python\n{row['src'].rstrip()}\n```\n\n"
            f"answered\n\n{quoted(row['output'])}\n\nwritten by people\n\n{quoted(row['tgt'])}\n"
        )
    return "\n".join(parts)


def quoted(text: str) -> str:
    """Text as an indented block of short lines; a long one is cut, and says so."""
    whole = " ".join(text.split())
    shown = whole[:MOST_CHARACTERS]
    block = textwrap.indent("\n".join(textwrap.wrap(shown, 90)), "    ")
    if len(whole) <= MOST_CHARACTERS:
        return block
    return f"{block} ...\n\n(cut: the first {MOST_CHARACTERS} of {len(whole)} characters)"


def report(run: Path) -> tuple[str, list[Bar]]:
    """The text of ``report.md``, and its bars."""
    quality = json.loads((run / "quality.json").read_text(encoding="utf-8"))
    seconds = json.loads((run / "seconds.json").read_text(encoding="utf-8"))
    draw(run, quality)
    base, lora = held_out(run, "base")[1], held_out(run, "lora")[1]
    verdicts = bars(quality, seconds)
    judged = "\n".join(f"- {bar}" for bar in verdicts)
    scored = f"{quality['data']['scored_tokens']:,}"
    phases = [(name, f"{value:.1f}") for name, value in seconds.items() if name != "report"]
    text = f"""# One model through its whole life

{judged}

![Held-out loss against step](loss.png)

While pretraining, the loss was watched on other held-out tokens,
{watched_tokens(run, "base"):,} of them: the curve ends at {base[-1]:.3f} there. The star is the
loss over the {scored} held-out tokens of this report, {quality["models"][2]["loss"]:.3f}.

LoRA: held-out loss {lora[0]:.3f} before training (perplexity {math.exp(lora[0]):.1f}),
{lora[-1]:.3f} after it (perplexity {math.exp(lora[-1]):.1f}).

## Quality and size

{scored} held-out tokens of the source text, the same for all three.
LoRA taught the merged model to answer with docstrings, which costs it some of the source text.

{table(("model", "perplexity", "loss (nats)", "weights (MB)"), quality_rows(run, quality))}

## Speed of generation

Batch 1, prompt of 128 tokens, 256 new tokens. Each as `llm infer` runs it unasked: int4 also halves
its KV cache, so the two differ by more than the weights.

{
        table(
            ("weights", "KV cache", "decode (tokens/s)", "prefill (tokens/s)", "memory (MB)"),
            speed_rows(run),
        )
    }

## Seconds a phase

{table(("phase", "seconds"), phases)}

## Ten samples of the int4 model

{samples(run)}"""
    return text, verdicts


def main(run: Path) -> None:
    """Write the report and say its bars; leave with 1 where quality is missed."""
    text, verdicts = report(run)
    (run / "report.md").write_text(text, encoding="utf-8")
    said = "".join(f"- {bar}\n" for bar in verdicts)
    sys.stdout.write(f"\n{run / 'report.md'} and {run / 'loss.png'} are written:\n{said}")
    sys.exit(int(any(bar.must and not bar.held for bar in verdicts)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
