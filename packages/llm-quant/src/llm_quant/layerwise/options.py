"""The options of `llm quant gptq`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.errors import UserError
from llm_cli.options import flag, option
from llm_quant.checks import check_gate, check_grid, check_positive

CALIBRATION = "Calibration data"
GRID = "Grid"
METHOD = "Method"
CHECK = "Certificate"


@dataclass(kw_only=True)
class GptqOptions:
    """Quantize a model's linear layers to int4 or int8 with GPTQ.

    Layer by layer: calibration samples run through a layer, its linears are rounded one column
    at a time so that the layer's output changes least, and the quantized layer feeds the next.
    """

    model_name_or_path: str = option(
        help="Model to quantize (LoRA merged before): a folder, or org/name[@revision] on a hub."
    )
    from_aistudio: bool = flag(
        False, help="Load a model that is no folder here from AI Studio's hub."
    )
    output_path: str = option(help="Folder to write; it must not hold files.")
    overwrite_output_dir: bool = flag(
        False,
        help="Replace an earlier output of this command, and drop unfinished work of another run.",
    )

    bits: int = option(4, help="Bits of a weight: 4 or 8.", group=GRID, aliases=("wbits",))
    group_size: int = option(
        128,
        help="Input columns that share a scale: 32, 64, 128 ...; -1: one scale per output.",
        group=GRID,
        aliases=("groupsize",),
    )
    sym: bool = flag(
        True, help="Symmetric grids, no zero points; false: better, int4 only.", group=GRID
    )
    mse: bool = flag(True, help="Search each group's range for the least weight error.", group=GRID)
    skip_list_names: list[str] = option(
        [],
        help="Linears to leave as they are: slots (down) or parts of names (layers.0.).",
        group=GRID,
    )

    percdamp: float = option(
        0.01,
        help="Share of the mean Hessian diagonal added to it; grows where that is too little.",
        group=METHOD,
    )
    actorder: bool = flag(
        True, help="Round columns by falling input energy (static groups).", group=METHOD
    )
    block: int = option(128, help="Columns corrected among themselves first.", group=METHOD)

    dataset_name_or_path: str | None = option(
        None,
        help='Folder with quant.json, else train.json: lines {"src", "tgt"}.',
        group=CALIBRATION,
    )
    chat_template: str | None = option(
        None,
        help='Template of the lines: a file or folder; absent: the model\'s own; "none".',
        group=CALIBRATION,
    )
    input_dir: str | None = option(
        None, help="Folder or prefix of tokenized .bin/.idx data.", group=CALIBRATION
    )
    split: str = option(
        "949,50,1", help="Train, validation, test shares; train is used.", group=CALIBRATION
    )
    gptq_step: int = option(8, help="Calibration batches.", group=CALIBRATION)
    batch_size: int = option(
        8,
        help="Samples in a batch.",
        group=CALIBRATION,
        aliases=("per_device_train_batch_size",),
    )
    max_length: int = option(
        2048,
        help="Tokens of a sample at most.",
        group=CALIBRATION,
        aliases=("max_seq_length",),
    )
    src_length: int | None = option(
        None,
        help="Tokens of a prompt at most; absent: half of max_length.",
        group=CALIBRATION,
    )
    seed: int = option(42, help="Order in which samples are drawn.", group=CALIBRATION)

    verify: bool | None = option(
        None,
        bare="true",
        help="Compare the result with the source on 256 random tokens and write certificate.json; "
        "by default for models under 2 B parameters.",
        group=CHECK,
    )
    max_kl: float | None = option(
        None,
        help="Most nats (mean KL divergence) between the two; beyond, nothing is written.",
        group=CHECK,
    )

    def __post_init__(self) -> None:
        check_gate(self.verify, self.max_kl)
        check_grid(self.bits, self.group_size, symmetric=self.sym)
        check_positive(
            block=self.block,
            gptq_step=self.gptq_step,
            batch_size=self.batch_size,
            max_length=self.max_length,
            src_length=1 if self.src_length is None else self.src_length,
        )
        if not 0 < self.percdamp <= 1:
            message = (
                f"--percdamp {self.percdamp:g} must lie between 0 and 1: it is a share of the "
                "mean Hessian diagonal. 0.01 is usual."
            )
            raise UserError(message)
        if (self.dataset_name_or_path is None) == (self.input_dir is None):
            message = (
                "GPTQ needs calibration data of one kind: --dataset_name_or_path (a folder with "
                "quant.json or train.json) or --input_dir (tokenized .bin/.idx data)."
            )
            raise UserError(message)
