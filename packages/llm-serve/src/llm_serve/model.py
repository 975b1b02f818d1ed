"""The model that is being served, as one value, and how it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from llm_serve.token_text import TokenTexts

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
        return self.length_behind(None)

    @cached_property
    def token_texts(self) -> TokenTexts:
        """Texts of single tokens, for logprobs."""
        return TokenTexts(self.tokenizer)

    def length_behind(self, prefix: str | None) -> int:
        """Return how many of them there are behind a tuned prefix of the engine."""
        return self.engine.limits.room(self.engine.prefix_tokens(prefix))


def load_model(options: ServeOptions) -> ServedModel:
    """Load tokenizer, template and weights; what the loaders raise is for the user."""
    from llm_data.chat_template import load_chat_template
    from llm_data.tokenizer import load_tokenizer
    from llm_infer.load import open_source, resolve_model
    from llm_infer.named_paths import named_paths
    from llm_infer.predict.session import open_engine
    from llm_infer.template_locks import check_template_locks

    assert options.served_model_name is not None
    folder = resolve_model(options.model_name_or_path, from_aistudio=options.from_aistudio)
    options.model_name_or_path = folder
    # The weights last: a folder without a tokenizer should not cost the time they take.
    model = open_source(folder, options.mode, options.inference_model)
    tokenizer = load_tokenizer(options.tokenizer_name_or_path or folder)
    template = load_chat_template(options.chat_template, tokenizer)
    adapters = named_paths("lora_path", options.lora_path)
    check_template_locks(folder, adapters.values(), tokenizer, template)
    # A length of 0 is the model's own.
    length = options.max_length or 0
    engine = open_engine(options, options.max_concurrency, length, tokenizer, model)
    return ServedModel(options.served_model_name, tokenizer, engine, template)
