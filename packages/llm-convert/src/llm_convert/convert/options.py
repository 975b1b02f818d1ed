"""Options of `llm convert`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.errors import UserError
from llm_cli.options import flag, option


@dataclass(kw_only=True)
class ConvertOptions:
    """Convert model weights between torch's and PaddleNLP's files, without torch or paddle.

    Tensors are streamed: memory holds about one of them at a time, however large the model is.
    The tokenizer's files and generation_config.json come along.
    """

    from_torch: str | None = option(
        None,
        help="Folder of a Hugging Face checkpoint (safetensors or .bin); written as PaddleNLP's.",
        group="Input and output",
    )
    to_torch: str | None = option(
        None,
        help="Folder of a PaddleNLP checkpoint (safetensors or .pdparams); written as a Hugging "
        "Face checkpoint.",
        group="Input and output",
    )
    output_path: str = option(help="Folder to write; it appears whole.", group="Input and output")
    overwrite: bool = flag(
        False, help="Replace an earlier output at output_path.", group="Input and output"
    )
    to: str | None = option(
        None,
        help="Layout to write when it is not the other one: re-cast or re-shard a checkpoint.",
        choices=("paddlenlp", "hf"),
        group="Weights",
    )
    dtype: str | None = option(
        None,
        help="Type of all floating weights; without it every tensor keeps its own.",
        choices=("float32", "float16", "bfloat16"),
        group="Weights",
    )
    max_shard_size: str = option(
        "4GB", help="Largest file, such as 4GB or 512MiB; a tensor is never split.", group="Weights"
    )

    def __post_init__(self) -> None:
        """Exactly one source is named."""
        if (self.from_torch is None) == (self.to_torch is None):
            named = "both" if self.from_torch is not None else "neither"
            message = (
                f"Name either --from_torch or --to_torch, not {named}: the folder of the "
                "checkpoint to convert."
            )
            raise UserError(message)
