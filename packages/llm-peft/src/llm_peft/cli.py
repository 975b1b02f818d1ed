"""The commands `llm peft lora` and `llm peft merge`; nothing heavy is imported before they run."""

from __future__ import annotations

from llm_cli.command import Command, Group

command = Group(
    "peft",
    help="Train LoRA adapters and merge them into their base.",
    commands=(
        Command(
            "lora",
            options="llm_peft.lora.options:LoraOptions",
            run="llm_peft.lora.run:lora",
            help="Fine-tune a model by training low-rank additions to its linears.",
        ),
        Command(
            "merge",
            options="llm_peft.merge.options:MergeOptions",
            run="llm_peft.merge.run:merge",
            help="Fold an adapter into its base and certify the result.",
        ),
    ),
)
