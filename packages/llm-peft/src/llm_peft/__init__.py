"""LoRA adapters: train them on a base model, merge them into it.

Which linears are adapted follows from the slots of `llm_kernels.families`, how adapters are stored
is `llm_convert.lora`'s, how a run goes is `llm_train.loop`'s; this package holds the layer with an
adapter, its options and its certificate.

Letters in shapes: B batch, T tokens, N outputs of a linear, K its inputs, r rank, V vocabulary.
"""
