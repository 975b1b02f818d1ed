"""The options of `llm quant weight-only`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import flag, option
from llm_quant.checks import check_gate, check_grid

BITS_OF_TYPE = {"weight_only_int8": 8, "weight_only_int4": 4}


@dataclass(kw_only=True)
class WeightOnlyOptions:
    """Round a model's linear layers to int4 or int8 without calibration."""

    model_name_or_path: str = option(
        help="Model to quantize (LoRA merged before): a folder, or org/name[@revision] on a hub."
    )
    from_aistudio: bool = flag(
        False, help="Load a model that is no folder here from AI Studio's hub."
    )
    output_path: str = option(help="Folder to write; it must not hold files.")
    overwrite_output_dir: bool = flag(False, help="Replace an earlier output of this command.")
    quant_type: str = option(
        "weight_only_int8", help="What the weights become.", choices=tuple(BITS_OF_TYPE)
    )
    group_size: int = option(
        -1,
        help="Input columns that share a scale: 32, 64, 128 ...; -1: one scale per output.",
        aliases=("groupsize",),
    )
    sym: bool = flag(True, help="Symmetric grids, no zero points; false: better, int4 only.")
    mse: bool = flag(False, help="Search each group's range for the least weight error.")
    skip_list_names: list[str] = option(
        [], help="Linears to leave as they are: slots (down) or parts of names (layers.0.)."
    )

    verify: bool | None = option(
        None,
        bare="true",
        help="Compare the result with the source on 256 random tokens and write certificate.json; "
        "by default for models under 2 B parameters.",
    )
    max_kl: float | None = option(
        None,
        help="Most nats (mean KL divergence) between the two; beyond, nothing is written.",
    )

    def __post_init__(self) -> None:
        check_gate(self.verify, self.max_kl)
        check_grid(self.bits, self.group_size, symmetric=self.sym)

    @property
    def bits(self) -> int:
        """Bits of a weight."""
        return BITS_OF_TYPE[self.quant_type]
