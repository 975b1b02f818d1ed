"""The commands of llm-quant, as data: nothing heavy is imported until one of them runs."""

from __future__ import annotations

from llm_cli.command import Command, Group

command = Group(
    "quant",
    help="Quantize models and report what it cost.",
    commands=(
        Command(
            "gptq",
            options="llm_quant.layerwise.options:GptqOptions",
            run="llm_quant.layerwise.run:gptq",
            help="Quantize a model's linear layers to int4 or int8 with GPTQ.",
        ),
        Command(
            "weight-only",
            options="llm_quant.weight_only.options:WeightOnlyOptions",
            run="llm_quant.weight_only.run:weight_only",
            help="Round a model's linear layers to int4 or int8 without calibration.",
        ),
        Command(
            "report",
            options="llm_quant.report.options:ReportOptions",
            run="llm_quant.report.run:report",
            help="Compare models on held-out tokens: perplexity, KL, agreement, size.",
        ),
    ),
)
