"""`llm quant report`: score models on the same tokens, print and write the numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llm_cli.console import console, table
from llm_cli.outputs import lineage, written_file
from llm_cli.progress import progress
from llm_convert.files.folder import open_weights
from llm_convert.hub import resolve_model
from llm_convert.model import Model, open_model
from llm_quant.checks import model_length
from llm_quant.report.options import ReportOptions
from llm_quant.report.reader import Reader
from llm_quant.report.score import Score, check_vocabulary, score
from llm_quant.report.sft_windows import sft_windows
from llm_quant.report.windows import (
    Window,
    scored_tokens,
    unigram_entropy,
    validation_windows,
)


def report(options: ReportOptions) -> None:
    """Compare models on held-out tokens and print a table; write JSON to `output_file`."""
    options.model_name_or_path = resolve_model(
        options.model_name_or_path, from_aistudio=options.from_aistudio
    )
    paths = [options.model_name_or_path, *options.quantized_model_name_or_path]
    models = [open_model(path) for path in paths]
    trained = [model.sizes.max_positions for model in models]
    length = model_length("max_seq_length", options.max_seq_length, *trained)
    windows, available = _windows(options, length)
    check_vocabulary({model.sizes.vocab for model in models}, windows)
    count = scored_tokens(windows)
    read = sum(window.scored.size for window in windows)
    content = {
        "data": {
            "source": options.input_dir or options.dataset_name_or_path,
            "scored_tokens": count,
            "available_tokens": available,
            "windows": len(windows),
            "unigram_entropy": unigram_entropy(windows),
        },
        "models": [
            _entry(model, total, read)
            for model, total in zip(models, _scores(models, windows), strict=True)
        ],
    }
    _print(content)
    if options.output_file is not None:
        inputs = {"model_name_or_path": options.model_name_or_path}
        content["lineage"] = lineage(command="quant report", options=options, inputs=inputs)
        with written_file(options.output_file) as stream:
            stream.write(json.dumps(content, indent=2, default=str).encode() + b"\n")


def _scores(models: Sequence[Model], windows: Sequence[Window]) -> list[Score]:
    """One score a model. The first is packed all the time, of the others one at a time."""
    longest = max(window.scored.size for window in windows)
    first = Reader(models[0], longest)
    total = scored_tokens(windows) * max(1, len(models) - 1)
    with progress("report", total=total, unit="tokens") as bar:
        if len(models) == 1:
            return score([first], windows, bar.advance)
        # The first model reads the windows once for each of the others: its logits are too many to
        # keep, and all models packed at once take the sum of their memory.
        pairs = [
            score([first, Reader(model, longest)], windows, bar.advance) for model in models[1:]
        ]
    return [pairs[0][0], *(other for _, other in pairs)]


def _windows(options: ReportOptions, length: int) -> tuple[list[Window], int]:
    if options.input_dir is not None:
        return validation_windows(options.input_dir, options.split, length, options.max_eval_tokens)
    assert options.dataset_name_or_path is not None
    return sft_windows(
        options.dataset_name_or_path,
        options.model_name_or_path,
        chat_template=options.chat_template,
        src_length=options.src_length or length // 2,
        max_length=length,
        max_tokens=options.max_eval_tokens,
    )


def _entry(model: Model, total: Score, read: int) -> dict[str, Any]:
    files = open_weights(model.path)
    return {
        "model_name_or_path": str(model.path),
        "loss": total.loss,
        "perplexity": total.perplexity,
        "kl": total.kl,
        "top1_agreement": total.agreement,
        "top1_accuracy": total.accuracy,
        "weight_bytes": sum(files.info(name).nbytes for name in files),
        "seconds": total.seconds,
        "tokens_per_second": read / max(total.seconds, 1e-9),
    }


def _print(content: dict[str, Any]) -> None:
    first = content["models"][0]
    # Paths stand below the table: long ones would squeeze the numbers out of it.
    columns = ["model", "ppl", "change", "loss", "KL", "top-1", "MB"]
    rows = [
        (
            f"[{number}]",
            f"{entry['perplexity']:.4f}",
            f"{100 * (entry['perplexity'] / first['perplexity'] - 1):+.2f} %",
            f"{entry['loss']:.4f}",
            f"{entry['kl']:.5f}",
            f"{100 * entry['top1_agreement']:.2f} %",
            f"{entry['weight_bytes'] / 1e6:.2f}",
        )
        for number, entry in enumerate(content["models"], 1)
    ]
    data = content["data"]
    table(f"{data['scored_tokens']:,} held-out tokens of {data['source']}", columns, rows)
    for number, entry in enumerate(content["models"], 1):
        console.print(f"[{number}] {entry['model_name_or_path']}", markup=False)
    console.print(
        f"Unigram entropy of these tokens: {data['unigram_entropy']:.4f} nats; "
        f"scored {data['scored_tokens']:,} of {data['available_tokens']:,}."
    )
