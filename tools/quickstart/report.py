"""``python report.py RUN`` writes ``RUN/report.md`` and ``RUN/loss.png`` from what the steps left.

The report judges itself: each bar is stated with the figure that was reached, and the exit code is
1 when one is missed.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

LEAST_GAIN = 1.0
MOST_INT4_CHANGE = 3.0
MOST_SECONDS = 480


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def held_out(run: Path, phase: str) -> tuple[list[int], list[float]]:
    """Steps and held-out losses (nats a token) of a training phase."""
    rows = [row for row in lines(run / phase / "metrics.jsonl") if "eval_loss" in row]
    return [row["step"] for row in rows], [row["eval_loss"] for row in rows]


def trained(run: Path, phase: str) -> tuple[list[int], list[float]]:
    """Steps and training losses of a training phase."""
    rows = [row for row in lines(run / phase / "metrics.jsonl") if "loss" in row]
    return [row["step"] for row in rows], [row["loss"] for row in rows]


def draw(run: Path, entropy: float) -> None:
    """``loss.png``: both phases, held-out and training loss against step."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), constrained_layout=True)
    for axis, phase, title in zip(axes, ("base", "lora"), ("Pretraining", "LoRA"), strict=True):
        axis.plot(*trained(run, phase), color="0.7", linewidth=1, label="training batches")
        axis.plot(*held_out(run, phase), color="C0", marker="o", markersize=4, label="held out")
        axis.set(title=title, xlabel="step", ylabel="loss (nats a token)")
        axis.grid(alpha=0.3)
    axes[0].axhline(entropy, color="C3", linestyle="--", label="unigram entropy, held out")
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


def bars(quality: dict[str, Any], seconds: dict[str, float]) -> list[tuple[str, bool]]:
    """What must hold, as sentences with the figure, and whether it does."""
    entropy = quality["data"]["unigram_entropy"]
    merged, int4 = (model["perplexity"] for model in quality["models"][:2])
    final = quality["models"][2]["loss"]
    change = 100 * (int4 / merged - 1)
    total = sum(seconds.values())
    return [
        (
            f"After pretraining the held-out loss is {final:.3f} nats, {entropy - final:.3f} below "
            f"the unigram entropy of the same tokens, {entropy:.3f} (bar: {LEAST_GAIN} below).",
            entropy - final >= LEAST_GAIN,
        ),
        (
            f"Perplexity of int4 is {int4:.3f}, {change:+.2f} % against {merged:.3f} in fp32 "
            f"(bar: within {MOST_INT4_CHANGE} %).",
            abs(change) <= MOST_INT4_CHANGE,
        ),
        (
            f"All steps took {total:.0f} s on this machine (bar: {MOST_SECONDS} s on two cores).",
            total <= MOST_SECONDS,
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
        rows.append((kind, *(f"{rate:,.0f}" for rate in rates), f"{figures['rss_mb']:,.0f}"))
    return rows


def samples(run: Path) -> str:
    """The ten answers of the int4 model."""
    parts = []
    for number, row in enumerate(lines(run / "answers.json"), 1):
        parts.append(
            f"**{number}.** asked\n\n```python\n{row['src'].rstrip()}\n```\n\n"
            f"answered `{row['output'].strip()}`; written by people: `{row['tgt']}`\n"
        )
    return "\n".join(parts)


def report(run: Path) -> tuple[str, bool]:
    """The text of ``report.md``, and whether every bar holds."""
    quality = json.loads((run / "quality.json").read_text(encoding="utf-8"))
    seconds = json.loads((run / "seconds.json").read_text(encoding="utf-8"))
    draw(run, quality["data"]["unigram_entropy"])
    lora = held_out(run, "lora")[1]
    verdicts = bars(quality, seconds)
    judged = "\n".join(f"- {'reached' if ok else 'MISSED'}: {text}" for text, ok in verdicts)
    phases = [(name, f"{value:.1f}") for name, value in seconds.items() if name != "report"]
    text = f"""# One model through its whole life

{judged}

![Held-out loss against step](loss.png)

LoRA: held-out loss {lora[0]:.3f} before training (perplexity {math.exp(lora[0]):.1f}),
{lora[-1]:.3f} after it (perplexity {math.exp(lora[-1]):.1f}).

## Quality and size

{quality["data"]["scored_tokens"]:,} held-out tokens of the source text, the same for all three.
LoRA taught the merged model to answer with docstrings, which costs it some of the source text.

{table(("model", "perplexity", "loss (nats)", "weights (MB)"), quality_rows(run, quality))}

## Speed of generation

Batch 1, prompt of 128 tokens, 256 new tokens.

{
        table(
            ("weights", "decode (tokens/s)", "prefill (tokens/s)", "memory (MB)"),
            speed_rows(run),
        )
    }

## Seconds a phase

{table(("phase", "seconds"), phases)}

## Ten samples of the int4 model

{samples(run)}"""
    return text, all(ok for _, ok in verdicts)


def main(run: Path) -> None:
    """Write the report."""
    text, passed = report(run)
    (run / "report.md").write_text(text, encoding="utf-8")
    if not passed:
        sys.stderr.write(f"A bar was missed; see {run / 'report.md'}.\n")
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
