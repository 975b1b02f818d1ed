"""Models by the name they have on a hub: `org/name`, or `org/name@revision`.

    folder = resolve_model("Qwen/Qwen2.5-0.5B")      # an existing folder is returned as it is

Files go to the hub library's own cache, so that other tools find them and nothing is loaded twice.
Only what a model needs is fetched: config.json, the tokenizer, and one kind of weights. The hub
libraries are optional (`tools/install "llm-convert[hub]"`) and imported when a name is met.
"""

from __future__ import annotations

from llm_convert.hub.resolve import hub_name, resolve_model

__all__ = ["hub_name", "resolve_model"]
