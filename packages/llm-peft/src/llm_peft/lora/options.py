"""Options of `llm peft lora`, with the names of PaddleNLP's run_finetune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from llm_cli.options import flag, option
from llm_peft.errors import LoraOptionError
from llm_train.sft.options import SftDataOptions
from llm_train.training_options import TrainingOptions

_ADAPTER, _ACCEPTED = "Adapter", "Accepted from PaddleNLP's recipes"

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "pissa": "adapters that start from singular vectors",
        "loraga": "adapters that start from a gradient",
        "use_mora": "square adapters",
        "lora_use_mixer": "mixed adapters",
        "nola": "adapters of random bases",
        "vera": "adapters of shared vectors",
        "lokr": "adapters of Kronecker products",
        "reft": "interventions on representations",
        "prefix_tuning": "prefix tuning",
        "weight_quantize_algo": "adapters on a base that is quantized while it loads",
    }
)
"""Options of PaddleNLP's recipes that change what is trained and are not there yet."""


@dataclass(kw_only=True)
class LoraOptions(SftDataOptions, TrainingOptions):
    """Fine-tune a model by training low-rank additions to its linears.

    The base stays as it is; the result is a PaddleNLP adapter (lora_config.json and
    lora_model_state.pdparams) that `llm peft merge` folds into the base.
    """

    lora_rank: int = option(8, help="Rank of the additions.", group=_ADAPTER)
    lora_alpha: float | None = option(
        None,
        help="Scale of the additions, divided by the rank (with rslora by its root); by default "
        "twice the rank, with rslora 4.",
        group=_ADAPTER,
    )
    lora_dropout: float = option(
        0.0, help="Share of a linear's input that its addition does not see.", group=_ADAPTER
    )
    rslora: bool = flag(False, help="Scale by alpha / sqrt(rank).", group=_ADAPTER)
    lora_plus_scale: float = option(
        1.0, help="LoRA+: the learning rate of B is so many times that of A.", group=_ADAPTER
    )
    target_modules: list[str] | None = option(
        None,
        help="Linears to adapt, such as q_proj or down_proj; by default all.",
        group=_ADAPTER,
    )
    lora_path: str | None = option(
        None, help="Adapter to go on from; by default a new one.", group=_ADAPTER
    )
    neftune: bool = flag(False, help="Add noise to the embeddings while training.", group=_ADAPTER)
    neftune_noise_alpha: float = option(
        5.0,
        help="Strength of that noise: uniform in +-alpha / sqrt(tokens * width).",
        group=_ADAPTER,
    )
    lora: bool = flag(True, help="Always true here.", group=_ACCEPTED)
    use_quick_lora: bool = flag(False, help="Has no effect.", group=_ACCEPTED)
    pissa: bool = flag(False, help="Refused so far.", group=_ACCEPTED)
    loraga: bool = flag(False, help="Refused so far.", group=_ACCEPTED)
    use_mora: bool = flag(False, help="Refused so far.", group=_ACCEPTED)
    lora_use_mixer: bool = flag(False, help="Refused so far.", group=_ACCEPTED)
    nola: bool = flag(False, help="Refused so far.", group=_ACCEPTED)
    vera: bool = flag(False, help="Refused so far.", group=_ACCEPTED)
    lokr: bool = flag(False, help="Refused so far.", group=_ACCEPTED)
    reft: bool = flag(False, help="Refused so far.", group=_ACCEPTED)
    prefix_tuning: bool = flag(False, help="Refused so far.", group=_ACCEPTED)
    weight_quantize_algo: str | None = option(None, help="Refused so far.", group=_ACCEPTED)

    def __post_init__(self) -> None:
        """Raise LoraOptionError or RecipeError for what cannot work, naming the option."""
        SftDataOptions.__post_init__(self)
        TrainingOptions.__post_init__(self)
        for name, what in REFUSED.items():
            if getattr(self, name):
                message = (
                    f"--{name} {getattr(self, name)}: this version has no {what}. Take it out of "
                    "the recipe."
                )
                raise LoraOptionError(message)
        if not self.lora or self.continue_training is False:
            name = "continue_training" if self.lora else "lora"
            message = (
                f"--{name} false: an adapter needs a trained base. Use `llm train sft` to train "
                "all weights."
            )
            raise LoraOptionError(message)
        self._check_numbers()

    @property
    def alpha(self) -> float:
        """lora_alpha, or PaddleNLP's default for it."""
        if self.lora_alpha is not None:
            return self.lora_alpha
        return 4.0 if self.rslora else 2.0 * self.lora_rank

    def _check_numbers(self) -> None:
        for name in ("lora_rank", "lora_plus_scale", "neftune_noise_alpha"):
            if not getattr(self, name) > 0:
                message = f"--{name} is {getattr(self, name)}; it must be above 0."
                raise LoraOptionError(message)
        if self.lora_alpha is not None and not self.lora_alpha > 0:
            message = f"--lora_alpha is {self.lora_alpha}; it must be above 0."
            raise LoraOptionError(message)
        if not 0 <= self.lora_dropout < 1:
            message = f"--lora_dropout is {self.lora_dropout}; it must be from 0 to below 1."
            raise LoraOptionError(message)
