"""`llm quant report`: what quantization cost, on tokens no model was trained on."""
