"""The options of `llm infer predict`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import flag, option
from llm_infer.bounds import ENGINE_BOUNDS, check_bounds
from llm_infer.errors import UnsupportedError
from llm_infer.predict.refusals import refuse

_MODEL = "Model"
_INPUT = "Prompts and answers"
_SAMPLING = "Sampling"
_ENGINE = "Engine"
_LENGTHS = {"batch_size": 1, "src_length": 1, "max_length": 2, "min_length": 0}


@dataclass(kw_only=True)
class PredictOptions:
    """Answer a prompt on the terminal, or every line of a data file.

    Without --data_file the answer to --prompt, or to the text on standard input, is streamed to
    the terminal. With --data_file, lines {"src", "tgt"} become lines {"src", "tgt", "output"}; a
    run that was killed goes on where it stopped.
    """

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
    lora_path: str | None = option(
        None, help="Folder of a LoRA adapter; it is merged while the model loads.", group=_MODEL
    )
    dtype: str = option(
        "float32", help="Data type of activations and unquantized weights.", group=_MODEL
    )
    quant_type: str | None = option(
        None,
        help="Round the linear weights to int8 or int4 (groups of 128 inputs) while loading: "
        "weight_only_int8, weight_only_int4.",
        group=_MODEL,
    )
    device: str = option("cpu", help="Where to run: cpu.", group=_ENGINE)
    mode: str = option("dynamic", help="dynamic: run the model's own files.", group=_ENGINE)
    inference_model: bool = flag(
        True,
        help="Use the native engine; false runs the Paddle decoder in dynamic graph.",
        group=_ENGINE,
    )
    block_attn: bool = flag(
        False, help="Block attention; the native engine always has it.", group=_ENGINE
    )
    block_size: int = option(64, help="Tokens of one block of the KV cache.", group=_ENGINE)
    num_blocks: int | None = option(
        None, help="Blocks of the KV cache; from the free memory by default.", group=_ENGINE
    )
    max_batch_tokens: int = option(
        2048, help="Most tokens of one step; longer prompts are read in chunks.", group=_ENGINE
    )
    threads: int | None = option(
        None, help="Threads of the engine; all cores by default.", group=_ENGINE
    )
    prompt: list[str] = option(
        [],
        help="Prompt to answer; repeat it for several. '-' reads standard input.",
        group=_INPUT,
    )
    data_file: str | None = option(
        None, help='Lines {"src", "tgt"} to answer; src may be a list of rounds.', group=_INPUT
    )
    output_file: str = option(
        "output.json",
        help="Where the answers to --data_file, or the figures of --benchmark, go.",
        group=_INPUT,
    )
    overwrite: bool = flag(
        False, help="Replace a finished --output_file of --data_file.", group=_INPUT
    )
    batch_size: int = option(1, help="Most prompts that are answered at once.", group=_INPUT)
    src_length: int = option(1024, help="Most tokens of a prompt.", group=_INPUT)
    max_length: int = option(
        2048, help="Most tokens of a prompt and its answer together.", group=_INPUT
    )
    min_length: int = option(1, help="Fewest new tokens of an answer.", group=_INPUT)
    truncate: str | None = option(
        None,
        help="Cut prompts longer than src_length on this side instead of refusing them.",
        choices=("left", "right"),
        group=_INPUT,
    )
    chat_template: str | None = option(
        None,
        help="chat_template.json or folder to use; the model's own by default, 'none' for none.",
        group=_INPUT,
    )
    stream: bool = flag(True, help="Show answers on the terminal as they come.", group=_INPUT)
    decode_strategy: str = option(
        "greedy_search",
        help="greedy_search, or sampling with the options below.",
        group=_SAMPLING,
    )
    top_k: int = option(
        1, help="Sample from this many likeliest tokens; 1 is greedy, 0 keeps all.", group=_SAMPLING
    )
    top_p: float = option(
        1.0, help="Sample from the likeliest tokens up to this probability.", group=_SAMPLING
    )
    temperature: float = option(
        1.0, help="Divides the logits; 0 takes the likeliest token.", group=_SAMPLING
    )
    repetition_penalty: float = option(
        1.0, help="Above 1: tokens seen before become less likely.", group=_SAMPLING
    )
    seed: int | None = option(
        None, help="Makes samples repeatable; line i of a file uses seed + i.", group=_SAMPLING
    )
    stop: list[str] = option(
        [], help="Text that ends an answer and is not part of it; may be repeated.", group=_SAMPLING
    )
    benchmark: bool = flag(
        False,
        help="Fill prompts to src_length, decode to max_length with batch_size sequences, and "
        "write figures to output_file.",
        group=_ENGINE,
    )
    prefix_path: str | None = option(None, help="Not in this version.", hidden=True)
    cachekv_int8_type: str | None = option(None, help="Not in this version.", hidden=True)
    export_precache: bool = flag(False, help="Not in this version.", hidden=True)
    use_fake_parameter: bool = flag(False, help="Not in this version.", hidden=True)

    def __post_init__(self) -> None:
        """Check what the types cannot say; the errors name the option."""
        refuse(self)
        self.quant_type = self.quant_type or None
        self.check_lengths()

    def check_lengths(self) -> None:
        """Refuse sizes that leave nothing to do. Raises UnsupportedError."""
        check_bounds(self, _LENGTHS | ENGINE_BOUNDS, UnsupportedError)
