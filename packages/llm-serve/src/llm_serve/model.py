"""The model that is being served, as one value, and how it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_data.chat_template import ChatTemplate
    from llm_data.tokenizer import Tokenizer
    from llm_infer.engine import Engine
    from llm_serve.options import ServeOptions


@dataclass(frozen=True)
class ServedModel:
    """Everything an answer needs; `template` is None where the model has no chat template."""

    name: str
    tokenizer: Tokenizer
    engine: Engine
    template: ChatTemplate | None

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together that one sequence may have."""
        return self.engine.limits.max_length


def load_model(options: ServeOptions) -> ServedModel:
    """Load tokenizer, template and weights; what the loaders raise is for the user."""
    from llm_data.chat_template import load_chat_template
    from llm_data.template_lock import check_template_lock
    from llm_data.tokenizer import load_tokenizer
    from llm_infer.load import load_engine, open_model, resolve_model

    assert options.served_model_name is not None
    options.model_name_or_path = resolve_model(
        options.model_name_or_path, from_aistudio=options.from_aistudio
    )
    model = open_model(options.model_name_or_path)
    tokenizer = load_tokenizer(options.tokenizer_name_or_path or options.model_name_or_path)
    template = load_chat_template(options.chat_template, tokenizer)
    check_template_lock(options.model_name_or_path, tokenizer, template)
    engine = load_engine(
        model,
        tokenizer=tokenizer,
        quant_type=options.quant_type,
        block_size=options.block_size,
        num_blocks=options.num_blocks,
        max_sequences=options.max_concurrency,
        max_batch_tokens=options.max_batch_tokens,
        max_length=options.max_length,
        threads=options.threads,
    )
    return ServedModel(options.served_model_name, tokenizer, engine, template)
