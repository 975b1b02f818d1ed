"""The command `llm convert`: its options and what it does."""
