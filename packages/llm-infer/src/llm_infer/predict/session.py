"""What predict starts from: the engine, the tokenizer, how prompts and parameters are made."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from llm_convert.model import Model
from llm_data.chat_template import load_chat_template
from llm_data.tokenizer import Tokenizer, load_tokenizer
from llm_infer.engine import Engine, EngineLimits, SamplingParams
from llm_infer.load import load_engine, open_model
from llm_infer.predict.options import PredictOptions
from llm_infer.predict.prompts import PromptEncoder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """A loaded model and how its prompts and samples are made."""

    options: PredictOptions
    engine: Engine
    prompts: PromptEncoder
    max_length: int
    """Most tokens of prompt and answer: --max_length, or less where the model's context is."""

    def params(self, prompt_tokens: int, number: int = 0) -> SamplingParams:
        """Parameters of prompt `number`, which has `prompt_tokens` tokens."""
        options = self.options
        greedy = options.decode_strategy == "greedy_search"
        room = max(self.max_length - prompt_tokens, 1)
        return SamplingParams(
            max_new_tokens=room,
            min_new_tokens=min(options.min_length, room),
            temperature=0.0 if greedy else options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            repetition_penalty=options.repetition_penalty,
            seed=None if options.seed is None else options.seed + number,
            stop=tuple(options.stop),
        )


def open_session(options: PredictOptions) -> Session:
    """Load tokenizer, template and model; every error of the loaders is for the user."""
    # The weights last: a folder without a tokenizer should not cost the time they take.
    model = open_model(options.model_name_or_path)
    tokenizer = load_tokenizer(options.tokenizer_name_or_path or options.model_name_or_path)
    template = load_chat_template(options.chat_template, tokenizer)
    engine = open_engine(options, tokenizer, model)
    max_length = bounded_length(options, engine)
    if options.decode_strategy == "sampling" and options.top_k == 1:
        logger.warning("--top_k is 1, so sampling takes the likeliest token; --top_k 0 keeps all")
    limit = min(options.src_length, max_length - 1)
    bound = prompt_bound(options, engine.limits)
    encoder = PromptEncoder(tokenizer, template, limit, options.truncate, bound)
    return Session(options, engine, encoder, max_length)


def open_engine(
    options: PredictOptions, tokenizer: Tokenizer | None = None, model: Model | None = None
) -> Engine:
    """The engine alone, as `options` describe it; `model`: their model, where it is open."""
    return load_engine(
        model or options.model_name_or_path,
        tokenizer=tokenizer,
        native=options.inference_model,
        quant_type=options.quant_type,
        lora_path=options.lora_path,
        block_size=options.block_size,
        num_blocks=options.num_blocks,
        max_sequences=options.batch_size,
        max_batch_tokens=options.max_batch_tokens,
        max_length=options.max_length,
        threads=options.threads,
    )


def prompt_bound(options: PredictOptions, limits: EngineLimits) -> str:
    """What bounds the length of a prompt: an option, the model or the cache."""
    room = min(options.max_length, limits.max_length) - 1
    if options.src_length <= room:
        return "that is --src_length, which may be raised"
    if options.max_length <= limits.max_length:
        return f"--max_length is {options.max_length}, one for the answer; it may be raised"
    if limits.max_positions == limits.max_length:
        return f"the model has {limits.max_positions} positions, one for the answer"
    return f"the KV cache has room for {limits.max_length} tokens, one for the answer"


def bounded_length(options: PredictOptions, engine: Engine) -> int:
    """--max_length, or what fits in the model and the cache; the log says so where it is less."""
    fits = engine.limits.max_length
    if fits < options.max_length:
        logger.info("--max_length %d is cut to %d tokens, which fit", options.max_length, fits)
    return min(options.max_length, fits)
