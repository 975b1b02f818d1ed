"""Quantize models: GPTQ and round-to-nearest weights, and a report of what it cost.

Letters in the shapes of this package: N outputs and K inputs of a linear layer (its weight is
[N, K]), g columns in a group that share a scale, J = K / g groups, T tokens of a sample, E hidden
width, V vocabulary.
"""
