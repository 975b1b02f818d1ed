"""Paddle's static graph: written from the Paddle decoder, run by paddle.inference.

`paddle_graph` builds it, `paddle_export` writes its files, `paddle_inference` runs them behind the
engine, and needs nothing of the model's source. `folder` is what lies beside the graph.
"""
