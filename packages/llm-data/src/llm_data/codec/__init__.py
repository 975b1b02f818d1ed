"""`llm data encode` and `llm data decode`: JSON strings to lists of ids and back, line by line."""
