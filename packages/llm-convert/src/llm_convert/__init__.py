"""Model weights to and from torch, PaddleNLP and other checkpoint files, without torch or paddle.

Letters in docstrings: E hidden, M mlp width, V vocabulary, L layers, r rank of an adapter,
g group size of a quantization; linear weights are [N, K] = [out, in], PaddlePaddle's [in, out].
"""
