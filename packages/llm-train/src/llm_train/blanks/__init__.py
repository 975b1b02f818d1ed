"""Training of families with a prefix mask (ChatGLM-6B, GLM): a blank of the context is filled in.

A sample is a context that holds a mask token, a start token, and what replaces the mask. The tokens
before the start see each other both ways, those after it only what came before; each has two
positions, its place in the context and its place in the answer (Du et al. 2021, arXiv:2103.10360,
section 2.1). Whether a family trains like this is its row's `mask`, never its name.

    tokens = blank_tokens(spec, config, tokenizer)     # None: a causal family
    samples = AnsweredSamples(dataset, answer_layout(tokens, encoder))   # supervised
    samples = BlankWindows(windows, tokens, seed)                        # pretraining
    collate = filled(dataset.collate)
"""
