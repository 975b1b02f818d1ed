"""The command `llm train`."""

from __future__ import annotations

from llm_cli.command import Command, Group

command = Group(
    "train",
    help="Pretrain a model, or fine-tune all its weights.",
    commands=(
        Command(
            "pretrain",
            options="llm_train.pretrain.options:PretrainOptions",
            run="llm_train.pretrain.run:pretrain",
            help="Train on packed text, from new weights or a checkpoint's.",
        ),
        Command(
            "sft",
            options="llm_train.sft.options:SftOptions",
            run="llm_train.sft.run:sft",
            help="Fine-tune all weights on questions and answers.",
        ),
        Command(
            "merge-tp",
            options="llm_train.merge_tp.options:MergeTpOptions",
            run="llm_train.merge_tp.run:merge_tp",
            help="Merge the shards of parallel training into whole weights, or split them.",
        ),
        Command(
            "plan",
            options="llm_train.forecast.options:PlanOptions",
            run="llm_train.forecast.run:plan",
            help="What a run will need: memory, time, disk; and a way that fits.",
        ),
        Command(
            "run",
            options="llm_train.stage.options:StageOptions",
            run="llm_train.stage.run:run_stage",
            help="What the config file's `stage` says: pretrain or sft.",
        ),
    ),
    default="run",
)
