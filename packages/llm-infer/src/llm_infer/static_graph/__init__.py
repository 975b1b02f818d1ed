"""Paddle's static graph: written from the Paddle decoder, run by paddle.inference.

`graph` builds it, `exporting` writes its folder, `runner` runs it behind the engine. `graph` and
`exporting` import paddle with its Python layers; `runner` needs no source of the model.
"""
