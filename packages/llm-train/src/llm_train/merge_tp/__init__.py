"""The command `llm train merge-tp`: shards of parallel training to whole weights, and back."""
