"""Run models: a native engine with block attention, and Paddle's dynamic graph.

`llm_infer.load.load_engine(folder)` gives an `llm_infer.engine.Engine`; the command `llm infer` is
built on it. Knows requests, blocks and tokens; what a model computes is `llm_kernels`', how it is
stored is `llm_convert`'s, what text becomes is `llm_data`'s. Imports neither paddle nor torch
unless `--inference_model false` asks for Paddle.

One letter legend for all docstrings: S sequences of one step, T rows (tokens) of one step,
R rows whose logits are wanted, V vocabulary, L layers, G KV heads, D head dimension.
"""
