"""Which lock holds: the model's, or those of the adapters that were trained on it."""

from __future__ import annotations

import json
import shutil

import pytest

from llm_data.chat_template import load_chat_template
from llm_data.errors import TemplateLockError
from llm_data.template_lock import write_template_lock
from llm_data.tokenizer import load_tokenizer
from llm_infer.template_locks import check_template_locks


def test_locks_of_adapters_go_before_the_models(tiny_model, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    tokenizer = load_tokenizer(model)
    path = tmp_path / "template.json"
    path.write_text(json.dumps({"conversation": ["<{{user}}>", "{{bot}}"], "query": "<{{query}}>"}))
    template = load_chat_template(str(path), tokenizer)
    adapters = [tmp_path / name for name in ("unlocked", "locked")]
    for folder in adapters:
        folder.mkdir()
    check_template_locks(model, [], tokenizer, template)  # nothing is locked
    write_template_lock(model, tokenizer, None)
    for given in ([], adapters[:1]):
        check_template_locks(model, given, tokenizer, None)
        with pytest.raises(TemplateLockError):
            check_template_locks(model, given, tokenizer, template)
    write_template_lock(adapters[1], tokenizer, template)
    check_template_locks(model, adapters, tokenizer, template)
    with pytest.raises(TemplateLockError):
        check_template_locks(model, adapters, tokenizer, None)
