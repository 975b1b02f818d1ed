"""Which model runs, and on what: options of every command that loads one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from llm_cli.options import flag, option
from llm_infer.bounds import ENGINE_BOUNDS, check_bounds
from llm_infer.errors import UnsupportedError
from llm_infer.named_paths import named_paths
from llm_infer.options.refusals import refuse_model
from llm_infer.options.synonyms import expand
from llm_infer.settings import AdapterPaths, Backend, CacheSettings, Precision, Scheduling

if TYPE_CHECKING:
    from llm_kernels.reference import CacheDtype

_MODEL = "Model"
_ENGINE = "Engine"
_NAMES = "Names of PaddleNLP"
_UNSET = ("dtype", "quant_type", "act_quant_type", "cachekv_int8_type", "cachekv_dtype")
"""Options for which a file of PaddleNLP may say "" where it says nothing."""


@dataclass(kw_only=True)
class ModelOptions:
    """The model, its adapters, and the engine that runs it."""

    model_name_or_path: str = option(
        help="Folder of the model: HF or PaddleNLP layout, dense or quantized; or its name on a "
        "hub, org/name or org/name@revision.",
        group=_MODEL,
    )
    from_aistudio: bool = flag(
        False, help="Load a model that is no folder here from AI Studio's hub.", group=_MODEL
    )
    tokenizer_name_or_path: str | None = option(
        None, help="Folder of the tokenizer; the model's folder by default.", group=_MODEL
    )
    lora_path: list[str] = option(
        [],
        help="Folder of a LoRA adapter; it is merged while the model loads. Several, as NAME=PATH, "
        "stay beside the weights and are chosen by the key 'adapter' of a line of data_file, or by "
        "the model that a request to a server names.",
        group=_MODEL,
    )
    prefix_path: list[str] = option(
        [],
        help="Folder of a tuned prefix, or its pre_caches.npy, which stands before every prompt. "
        "Several, as NAME=PATH, are chosen by the key 'prefix' of a line of data_file, or by the "
        "model that a request to a server names.",
        group=_MODEL,
    )
    dtype: str | None = option(
        None,
        help="Data type of unquantized weights: float32 (the default; bfloat16 files stay as they "
        "are), or bfloat16, which the inputs of linears become too, unless --act_quant_type none.",
        group=_MODEL,
    )
    quant_type: str | None = option(
        None,
        help="Round the linear weights while loading: weight_only_int8, weight_only_int4 (groups "
        "of 128 inputs), a8w8 or a8w8_fp8 (their inputs too); a8w8c8 and a8w8c8_fp8 mean "
        "--cachekv_int8_type dynamic besides.",
        group=_MODEL,
    )
    act_quant_type: str | None = option(
        None,
        help="How the native engine rounds the inputs of int8 and int4 weights: int8_block (the "
        "default: int8 with a scale for 128 inputs), int8_token (a scale a token), or none "
        "(products in float32, several times slower; with --dtype bfloat16 too).",
        group=_MODEL,
    )
    quantize_head: bool = flag(
        True,
        help="Beside quantized weights, keep the head in int8 too (native engine).",
        group=_MODEL,
    )
    use_fake_parameter: bool = flag(
        False,
        help="Random weights instead of the model's, so that config.json is enough (to measure).",
        group=_MODEL,
    )
    device: str = option("cpu", help="Where to run: cpu.", group=_ENGINE)
    mode: str = option(
        "dynamic",
        help="dynamic: run the model's own files; static: run what `llm infer export` wrote.",
        group=_ENGINE,
    )
    inference_model: bool = flag(
        True,
        help="Use the native engine; false runs on Paddle: the decoder in dynamic graph, or the "
        "exported graph with --mode static.",
        group=_ENGINE,
    )
    block_attn: bool = flag(
        False,
        help="Block attention; the native engine always has it.",
        group=_ENGINE,
        aliases=("append_attn",),
    )
    block_size: int = option(64, help="Tokens of one block of the KV cache.", group=_ENGINE)
    num_blocks: int | None = option(
        None, help="Blocks of the KV cache; from the free memory by default.", group=_ENGINE
    )
    cachekv_int8_type: str | None = option(
        None,
        help="Keep keys and values in int8: dynamic (a scale of every token and head) or static "
        "(the model's cachekv_scales.json).",
        group=_ENGINE,
    )
    cachekv_dtype: str | None = option(
        None,
        help="What the KV cache is kept in: float32 or bfloat16; bfloat16 by default where inputs "
        "of linears are rounded too (quantized weights, --dtype bfloat16).",
        group=_ENGINE,
    )
    max_batch_tokens: int = option(
        2048, help="Most tokens of one step; longer prompts are read in chunks.", group=_ENGINE
    )
    prefix_cache: bool = flag(
        True,
        help="Keep the KV blocks of what was read, for prompts that begin the same.",
        group=_ENGINE,
    )
    speculate_ngram: int = option(
        0,
        help="Draft tokens that followed the same N tokens before and check them in one step: the "
        "same answers, sooner where text repeats; 0: not.",
        group=_ENGINE,
    )
    threads: int | None = option(
        None, help="Threads of the engine; all cores by default.", group=_ENGINE
    )
    model_prefix: str = option(
        "model", help="Stem of the files of an exported Paddle graph.", group=_NAMES
    )
    avx_model: bool = flag(
        False, help="The native engine on the CPU, which is the default.", group=_NAMES
    )
    avx_type: str | None = option(
        None,
        help="fp16_int8 means --quant_type weight_only_int8, bf16 --dtype bfloat16; fp16 files run "
        "in float32.",
        choices=("fp16", "bf16", "fp16_int8"),
        group=_NAMES,
    )
    avx_cachekv_type: str | None = option(
        None,
        help="fp16: the KV cache is float32, which holds it, unless --cachekv_dtype is given.",
        choices=("fp16",),
        group=_NAMES,
    )
    export_precache: bool = flag(
        False,
        help="With --prefix_path: keep the prefix in the KV cache, as is always done.",
        group=_NAMES,
    )
    use_flash_attention: bool = flag(
        False,
        help="Attention block by block; the native engine always computes it so.",
        group=_NAMES,
    )
    model_type: str | None = option(
        None, help="Accepted if it is the model_type of config.json.", group=_NAMES
    )

    def __post_init__(self) -> None:
        """Check what the types cannot say; the errors name the option."""
        self.settle_model()

    def settle_model(self) -> None:
        """Give synonyms their meaning and refuse what cannot be. Raises UnsupportedError."""
        for name in _UNSET:
            setattr(self, name, getattr(self, name) or None)
        refuse_model(self)
        expand(self)
        self.dtype = self.dtype or "float32"
        if self.act_quant_type is None and self.inference_model:
            self.act_quant_type = "int8_block"
        if self.act_quant_type == "none":
            self.act_quant_type = None
        check_bounds(self, {**ENGINE_BOUNDS, "speculate_ngram": 0}, UnsupportedError)

    def precision(self) -> Precision:
        """What weights are kept as."""
        return Precision(
            dtype=self.dtype or "float32",
            quant_type=self.quant_type,
            act_quant_type=self.act_quant_type,
            quantize_head=self.quantize_head and self.inference_model,
        )

    def cache_settings(self) -> CacheSettings:
        """The KV cache."""
        return CacheSettings(
            cachekv_dtype=cast("CacheDtype", self.cachekv_dtype),
            cachekv_int8_type=self.cachekv_int8_type,
            block_size=self.block_size,
            num_blocks=self.num_blocks,
            prefix_cache=self.prefix_cache,
        )

    def adapter_paths(self) -> AdapterPaths:
        """Adapters and prefixes; a single adapter is merged. Raises UnsupportedError."""
        adapters = named_paths("lora_path", self.lora_path)
        single = len(adapters) < 2
        return AdapterPaths(
            lora_path=next(iter(adapters.values()), None) if single else None,
            lora_paths={} if single else adapters,
            prefix_paths=named_paths("prefix_path", self.prefix_path),
        )

    def scheduling(self, max_sequences: int, max_length: int) -> Scheduling:
        """How many sequences of which length are computed together."""
        return Scheduling(
            max_sequences=max_sequences,
            max_batch_tokens=self.max_batch_tokens,
            max_length=max_length,
            speculate_ngram=self.speculate_ngram,
        )

    def backend(self) -> Backend:
        """What computes."""
        return Backend(
            inference_model=self.inference_model,
            mode=self.mode,
            model_prefix=self.model_prefix,
            threads=self.threads,
        )
