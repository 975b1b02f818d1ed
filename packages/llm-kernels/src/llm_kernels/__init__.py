"""C++/CUDA kernels, their NumPy references and the model families' specs.

Letters in docstrings: B batch, T tokens, S keys in the context, H query heads, G KV heads, D head
dim, R rotated part of a head, E hidden, M mlp width, X experts, V vocabulary, L layers; linear
weights are [N, K] = [out, in], g columns share a scale.
"""
