"""Whether a model is asked as it was trained: its own lock, or those of its adapters."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from llm_data.chat_template import ChatTemplate
from llm_data.template_lock import LOCK_FILE, check_template_lock
from llm_data.tokenizer import Tokenizer


def check_template_locks(
    model: str | Path,
    adapters: Iterable[str | Path],
    tokenizer: Tokenizer,
    template: ChatTemplate | None,
) -> None:
    """Compare tokenizer and template with what training locked; without a lock, with nothing.

    An adapter was trained last, so where adapters have locks, these hold and the model's does not.
    Raises TemplateLockError with the first difference.
    """
    locked = [folder for folder in adapters if (Path(folder) / LOCK_FILE).is_file()]
    for folder in locked or [model]:
        check_template_lock(folder, tokenizer, template)
