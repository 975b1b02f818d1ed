"""`llm data train-tokenizer`: a byte-level BPE vocabulary out of text."""
