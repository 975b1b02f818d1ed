"""What goes with weights so that a model is asked as it was trained: tokenizer and template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_convert.model import copy_companions
from llm_data.chat_template import load_chat_template, save_chat_template
from llm_data.template_lock import write_template_lock
from llm_data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Words:
    """The tokenizer of a run and, of a supervised one, its chat template."""

    tokenizer: Tokenizer
    supervised: bool = False
    """Whether questions and answers are learnt: then the ids of probe conversations are locked."""
    chat_template: str | None = None
    """`--chat_template` of the run."""

    def save(self, folder: Path) -> None:
        """Copy the tokenizer's files, write a template that was named, and the lock."""
        copy_companions(self.tokenizer.path, folder)
        if not self.supervised:
            return
        template = load_chat_template(self.chat_template, self.tokenizer)
        if self.chat_template is not None and template is not None:
            save_chat_template(template, folder)
        write_template_lock(folder, self.tokenizer, template)
