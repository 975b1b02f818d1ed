"""What a run will need, worked out from its options and config.json before weights are loaded.

`llm train plan` prints it; a run prints at its end what was forecast and what was measured.
"""
