"""Tokenize, check and pack training data.

What it knows: what text becomes - tokenizers, chat templates, the pretraining files `.bin/.idx`,
supervised samples with their labels, packing. What it refuses to know: models, devices, training
frameworks; everything it hands out is a NumPy array.

Letters in shapes, everywhere in this package: B batch, T tokens of a sequence, D documents,
S samples, V vocabulary.
"""
