"""Bare `llm train CONFIG`: the stage is in the file."""
