"""Arithmetic of weight quantization on single linear layers: no model, no file, NumPy only."""
