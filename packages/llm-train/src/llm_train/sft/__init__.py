"""`llm train sft`: supervised fine-tuning of all weights."""
