"""`llm train pretrain`: next-token training on packed text."""
