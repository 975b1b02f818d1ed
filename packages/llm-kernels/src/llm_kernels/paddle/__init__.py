"""The decoder in Paddle, built from a family's spec: for training, LoRA, export and as an oracle.

Importing it needs the extra `paddle`. Letters in shapes: B batch, T tokens of this call, S tokens
seen so far (cache and call), H query heads, G KV heads, R = H / G, D head dim, E hidden, M mlp
width, V vocabulary, L layers. Linear weights are [in, out] here, as everywhere in Paddle;
`llm_kernels.paddle.weights` translates to and from the canonical [out, in].
"""
