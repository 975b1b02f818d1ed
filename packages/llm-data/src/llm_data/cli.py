"""Commands of this package; imports nothing heavy, so that `llm --help` stays instant."""

from __future__ import annotations

from llm_cli.command import Command, Group

command = Group(
    "data",
    help="Tokenize, check and pack training data.",
    commands=(
        Command(
            "train-tokenizer",
            options="llm_data.train_tokenizer.options:TrainTokenizerOptions",
            run="llm_data.train_tokenizer.run:train_tokenizer",
            help="Learn a byte-level BPE vocabulary from text.",
        ),
        Command(
            "tokenize",
            options="llm_data.tokenize.options:TokenizeOptions",
            run="llm_data.tokenize.run:tokenize",
            help="Turn text into the .bin/.idx files that pretraining reads.",
        ),
        Command(
            "encode",
            options="llm_data.codec.options:EncodeOptions",
            run="llm_data.codec.run:encode",
            help="JSON strings in, lists of token ids out, line by line.",
        ),
        Command(
            "decode",
            options="llm_data.codec.options:DecodeOptions",
            run="llm_data.codec.run:decode",
            help="Lists of token ids in, JSON strings out, line by line.",
        ),
        Command(
            "check",
            options="llm_data.check.options:CheckOptions",
            run="llm_data.check.run:check",
            help="Count what training would cut, drop or not learn in supervised data.",
        ),
        Command(
            "inspect",
            options="llm_data.inspect.options:InspectOptions",
            run="llm_data.inspect.run:inspect",
            help="Show samples token by token, with mask and positions.",
        ),
    ),
)
