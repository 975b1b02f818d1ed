"""What a model computes, compared with what it computed before or with a recorded truth.

`comparison` measures two sets of logits, `certificate` runs two models on the same random tokens,
`golden` holds recorded logits and tokens, `decoders` the decoders that can be asked.
"""
