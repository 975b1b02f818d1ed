"""`llm quant gptq`: calibration data through a model, one decoder layer at a time."""
