"""Quantize models: GPTQ and post-training quantization."""
