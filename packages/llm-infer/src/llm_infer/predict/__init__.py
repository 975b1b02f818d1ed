"""The command `llm infer predict`: prompts from a terminal or a file, answers as they are ready.

Knows text, files and the terminal; the engine knows neither.
"""
