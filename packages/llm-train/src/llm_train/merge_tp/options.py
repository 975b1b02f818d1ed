"""Options of `llm train merge-tp`, with the names of PaddleNLP's merge_tp_params."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from llm_cli.errors import UserError
from llm_cli.options import flag, option
from llm_convert.shard_size import DEFAULT_SHARD, parse_size

_INPUT, _OUTPUT, _SPLIT, _CHECK = "Input", "Output", "Splitting", "Verification"


@dataclass(kw_only=True)
class MergeTpOptions:
    """Merge the shards of tensor and pipeline parallel training into whole weights, or split them.

    `llm train merge-tp DIR` puts model_state.tp00.pdparams, model_state.tp00_pp00.pdparams and the
    like together, bit by bit and one tensor at a time. With a parallel degree it writes the shards
    that so many ranks load, out of whole weights or of shards of another degree.
    """

    POSITIONAL: ClassVar[str] = "model_name_or_path"

    model_name_or_path: str = option(
        help="Folder with config.json and the shards (or whole weights, to split them).",
        group=_INPUT,
    )
    from_aistudio: bool = flag(
        False, help="Load a model that is no folder here from AI Studio's hub.", group=_INPUT
    )
    output_path: str | None = option(
        None,
        help="Folder to write; it appears whole. Without it, model.safetensors is written beside "
        "the shards.",
        group=_OUTPUT,
    )
    overwrite: bool = flag(False, help="Replace an earlier output at output_path.", group=_OUTPUT)
    max_shard_size: str = option(
        DEFAULT_SHARD,
        help="Largest file of whole weights, such as 4GB or 512MiB; a tensor is never split.",
        group=_OUTPUT,
    )
    tensor_parallel_degree: int = option(
        1, help="Split every layer among so many ranks.", group=_SPLIT
    )
    pipeline_parallel_degree: int = option(
        1, help="Split the layers among so many stages.", group=_SPLIT
    )
    shard_format: str = option(
        "pdparams",
        help="Files of the shards.",
        choices=("pdparams", "safetensors"),
        group=_SPLIT,
    )
    verify: str | None = option(
        None,
        help="true or false: run what was read and what was written on 256 random tokens and write "
        "certificate.json; by default for models under 2 B parameters.",
        choices=("true", "false"),
        bare="true",
        group=_CHECK,
    )
    max_kl: float | None = option(
        None,
        help="Most nats (mean KL divergence) between what was read and written; beyond, nothing is "
        "written. Turns --verify on.",
        group=_CHECK,
    )
    device: str = option("cpu", help="Has no effect: no device is needed.", group=_OUTPUT)

    @property
    def verified(self) -> bool | None:
        """Whether to certify the result; None: as llm_convert.verify.certificate decides."""
        return None if self.verify is None else self.verify == "true"

    @property
    def splits(self) -> bool:
        """Whether shards are to be written."""
        return self.tensor_parallel_degree * self.pipeline_parallel_degree > 1

    def __post_init__(self) -> None:
        """Raise UserError, or ConvertError for a size, for what cannot work, naming the option."""
        parse_size(self.max_shard_size)
        for name in ("tensor_parallel_degree", "pipeline_parallel_degree"):
            value = getattr(self, name)
            # PaddleNLP's recipes write -1 for "none".
            if value != -1 and not 1 <= value <= 99:
                message = f"--{name} is {value}; choose 1 to 99."
                raise UserError(message)
            setattr(self, name, max(1, value))
        if self.splits and self.output_path is None:
            message = "Name the folder for the shards with --output_path."
            raise UserError(message)
        if self.max_kl is not None and not (self.max_kl > 0 and self.verified is not False):
            message = (
                f"--max_kl is {self.max_kl:g}, with --verify {self.verify}; it must be above 0, "
                "and needs the verification."
            )
            raise UserError(message)
