"""The command `llm infer export`: a model in the form that `--mode static` runs.

`run` decides by `--inference_model`: false writes a Paddle static graph (`llm_infer.static_graph`);
true is for the native engine.
"""
