"""What predict and chat start from: engine, tokenizer, how prompts and parameters are made."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_data.chat_template import ChatTemplate, load_chat_template
from llm_data.tokenizer import Tokenizer, load_tokenizer
from llm_infer.described import describe
from llm_infer.engine import Engine, EngineLimits, SamplingParams
from llm_infer.errors import UnsupportedError
from llm_infer.load import load_engine
from llm_infer.named_paths import chosen, named_paths
from llm_infer.predict.prompts import PromptEncoder
from llm_infer.sources import Source, open_source
from llm_infer.template_locks import check_template_locks

if TYPE_CHECKING:
    from llm_infer.options.answers import AnswerOptions
    from llm_infer.options.model import ModelOptions
    from llm_infer.options.run import RunOptions

logger = logging.getLogger(__name__)

EARLY_STOPPING: dict[str, bool | str] = {"true": True, "false": False, "never": "never"}


@dataclass(frozen=True)
class Session:
    """A loaded model and how its prompts and samples are made."""

    options: AnswerOptions
    engine: Engine
    prompts: PromptEncoder
    max_length: int
    """Most tokens of prompt and answer: --max_length, or less where the model's context is."""
    prefixes: dict[str, str] = field(default_factory=dict)
    """Tuned prefixes by name."""
    adapters: dict[str, str] = field(default_factory=dict)
    """LoRA adapters by name, those that are not merged."""

    def params(
        self,
        prompt_tokens: int,
        number: int = 0,
        prefix: str | None = None,
        adapter: str | None = None,
    ) -> SamplingParams:
        """Parameters of prompt `number`, which has `prompt_tokens` tokens.

        `prefix`, `adapter`: names of its tuned prefix and LoRA adapter; the only one there is by
        default. Raises UnsupportedError for a name that is not there.
        """
        options = self.options
        sampled = options.decode_strategy == "sampling"
        prefix = chosen("prefix_path", self.prefixes, prefix)
        ahead = self.engine.prefix_tokens(prefix)
        room = max(min(self.max_length, self.engine.limits.room(ahead)) - prompt_tokens, 1)
        return SamplingParams(
            max_new_tokens=room,
            min_new_tokens=min(options.min_length, room),
            temperature=options.temperature if sampled else 0.0,
            top_k=options.top_k,
            top_p=options.top_p,
            min_p=options.min_p,
            repetition_penalty=options.repetition_penalty,
            presence_penalty=options.presence_penalty,
            frequency_penalty=options.frequency_penalty,
            seed=None if options.seed is None else options.seed + number,
            stop=tuple(options.stop),
            timeout_s=options.timeout_s,
            prefix=prefix,
            adapter=chosen("lora_path", self.adapters, adapter),
            num_beams=beams(options),
            length_penalty=options.length_penalty,
            early_stopping=EARLY_STOPPING[options.early_stopping],  # type: ignore[arg-type]
        )


def beams(options: AnswerOptions) -> int:
    """Beams of one answer; 1 where it is not searched."""
    return options.num_beams if options.decode_strategy == "beam_search" else 1


def open_session(
    options: RunOptions,
    *,
    batch_size: int = 1,
    truncate: str | None = None,
    rounds: bool = False,
) -> Session:
    """Load tokenizer, template and model for `batch_size` answers at once.

    `truncate`: the side on which prompts that are too long are cut. `rounds`: whether there must be
    a chat template. Every error of the loaders is for the user.
    """
    # The weights last: a folder without a tokenizer should not cost the time they take.
    prefixes = named_paths("prefix_path", options.prefix_path)
    adapters = named_paths("lora_path", options.lora_path)
    model = open_source(options.model_name_or_path, options.mode, options.inference_model)
    tokenizer = load_tokenizer(options.tokenizer_name_or_path or options.model_name_or_path)
    template = load_chat_template(options.chat_template, tokenizer)
    if rounds:
        check_rounds(template)
    check_template_locks(options.model_name_or_path, adapters.values(), tokenizer, template)
    sequences = batch_size * beams(options)
    engine = open_engine(options, sequences, options.max_length, tokenizer, model)
    max_length = bounded_length(options, engine)
    if options.decode_strategy == "sampling" and options.top_k == 1:
        logger.warning("--top_k is 1, so sampling takes the likeliest token; --top_k 0 keeps all")
    limit = min(options.src_length, max_length - 1)
    bound = prompt_bound(options, engine.limits)
    encoder = PromptEncoder(tokenizer, template, limit, truncate, bound)
    beside = adapters if len(adapters) > 1 else {}
    return Session(options, engine, encoder, max_length, prefixes, beside)


def check_rounds(template: ChatTemplate | None) -> None:
    """Raise UnsupportedError where there is no template, which a conversation needs."""
    if template is None:
        message = (
            "The model has no chat template, without which rounds cannot be told apart. Give "
            "--chat_template, or ask it single prompts: llm infer predict --prompt TEXT."
        )
        raise UnsupportedError(message)


def open_engine(
    options: ModelOptions,
    max_sequences: int,
    max_length: int,
    tokenizer: Tokenizer | None = None,
    model: Source | None = None,
) -> Engine:
    """The engine alone, as `options` describe it; `model`: their model, where it is open."""
    if model is None:
        folder = options.model_name_or_path
        fake = options.use_fake_parameter
        model = (
            describe(folder) if fake else open_source(folder, options.mode, options.inference_model)
        )
    _check_type(options, model)
    return load_engine(
        model,
        tokenizer=tokenizer,
        precision=options.precision(),
        cache=options.cache_settings(),
        adapters=options.adapter_paths(),
        scheduling=options.scheduling(max_sequences, max_length),
        backend=options.backend(),
    )


def prompt_bound(options: AnswerOptions, limits: EngineLimits) -> str:
    """What bounds the length of a prompt: an option, the model or the cache."""
    room = min(options.max_length, limits.max_length) - 1
    if options.src_length <= room:
        return "that is --src_length, which may be raised"
    if options.max_length <= limits.max_length:
        return f"--max_length is {options.max_length}, one for the answer; it may be raised"
    if limits.max_positions == limits.max_length:
        return f"the model has {limits.max_positions} positions, one for the answer"
    return f"the KV cache has room for {limits.max_length} tokens, one for the answer"


def bounded_length(options: AnswerOptions, engine: Engine) -> int:
    """--max_length, or what fits in the model and the cache; the log says so where it is less."""
    fits = engine.limits.max_length
    if fits < options.max_length:
        logger.info("--max_length %d is cut to %d tokens, which fit", options.max_length, fits)
    return min(options.max_length, fits)


def _check_type(options: ModelOptions, model: Source) -> None:
    stated = model.config.get("model_type")
    if options.model_type and options.model_type != stated:
        message = (
            f"--model_type is {options.model_type}, but {model.path}/config.json says {stated}. "
            "Leave the option out; the family is read from config.json."
        )
        raise UnsupportedError(message)
