"""`llm data check`: what training would cut, drop or not learn, before it runs for hours."""
