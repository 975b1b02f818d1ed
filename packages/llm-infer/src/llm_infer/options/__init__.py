"""Options that several commands share; each is a documented field of a dataclass.

Imports nothing heavy: `llm --help` reads them.
"""
