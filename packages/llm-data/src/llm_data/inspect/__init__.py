"""`llm data inspect`: samples token by token, as training sees them."""
