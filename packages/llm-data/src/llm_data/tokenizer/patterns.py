"""Expressions that cut a text into words before byte-level BPE, as their models' authors gave them.

They are written for engines with Unicode classes; digits are cut one by one or in threes.
"""

from __future__ import annotations

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

QWEN_PATTERN = _CONTRACTIONS + r"\p{N}" + _REST
"""Qwen and Qwen2: every digit is a word."""
LLAMA3_PATTERN = _CONTRACTIONS + r"\p{N}{1,3}" + _REST
"""Llama 3 and GLM-4: at most three digits are a word."""
