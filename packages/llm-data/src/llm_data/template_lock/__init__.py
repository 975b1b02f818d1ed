"""Proof that a model is asked as it was trained: ids of probe conversations beside its weights.

    write_template_lock(checkpoint, tokenizer, template)      # when a model is saved
    check_template_lock(checkpoint, tokenizer, template)      # when it is loaded to answer

`template_lock.json` holds the ids that training and inference render 16 conversations to, and a
hash of them. Another tokenizer, another template, or another version of either is refused with the
first difference.
"""

from __future__ import annotations

from llm_data.template_lock.lock import (
    LOCK_FILE,
    check_template_lock,
    template_lock,
    write_template_lock,
)

__all__ = ["LOCK_FILE", "check_template_lock", "template_lock", "write_template_lock"]
