"""Runs the command: every split that is there, one table each, exit code 1 above a limit."""

from __future__ import annotations

from pathlib import Path

from llm_cli.console import console, table
from llm_data.chat_template import load_chat_template
from llm_data.chat_template.paddle import PaddleTemplate
from llm_data.check.findings import Finding, Limits, examine
from llm_data.check.options import CheckOptions
from llm_data.count_table import count_table
from llm_data.indexed.layout import IntArray
from llm_data.sft import SftDataset, find_split_files, has_split
from llm_data.tokenizer import load_tokenizer

SPLITS = ("train", "dev", "test", "quant")


def check(options: CheckOptions) -> int:
    """Run the command; 0: everything within its limit, 1: something is not."""
    tokenizer = load_tokenizer(options.tokenizer_name_or_path)
    template = load_chat_template(options.chat_template, tokenizer)
    limits = Limits(
        options.max_dropped_share,
        options.max_cut_share,
        options.max_endless_share,
        options.max_duplicate_share,
    )
    failed: list[str] = []
    if isinstance(template, PaddleTemplate):
        failed += _drift(template)
    train: IntArray | None = None
    for split in _splits(options.dataset_name_or_path):
        data = SftDataset(
            options.dataset_name_or_path,
            tokenizer,
            split=split,
            src_length=options.src_length,
            max_length=options.max_length,
            chat_template="none" if template is None else template,
            excess_length=options.excess_length,
        )
        findings = examine(
            data,
            limits,
            batch_size=options.per_device_train_batch_size,
            train_digests=train if split in ("dev", "test") else None,
        )
        train = data.digests if split == "train" else train
        _show(split, data, findings)
        failed += [f"{split}: {item.verdict()}" for item in findings if item.failed]
    for line in failed:
        console.print(f"FAILED  {line}", markup=False)
    if not failed:
        console.print("Passed: every share is within its limit.")
    return 1 if failed else 0


def _splits(path: str) -> list[str]:
    if Path(path).expanduser().is_file():
        return ["train"]
    found = [split for split in SPLITS if has_split(path, split)]
    if not found:
        find_split_files(path, SPLITS[0])
    return found


def _drift(template: PaddleTemplate) -> list[str]:
    drift = template.drift()
    if drift is None:
        return []
    return [
        f"chat template {template.name}: training writes {drift[0]!r} where inference writes "
        f"{drift[1]!r}"
    ]


def _show(split: str, data: SftDataset, findings: list[Finding]) -> None:
    count_table(f"{split}: records", list(data.report.rows()))
    table(
        f"{split}: shares",
        ("what", "count", "share", "limit", "verdict"),
        [
            (
                item.name,
                item.count,
                f"{item.share:.2%}",
                "" if item.limit is None else f"{item.limit:.2%}",
                "" if item.limit is None else ("FAILED" if item.failed else "passed"),
            )
            for item in findings
        ],
    )
