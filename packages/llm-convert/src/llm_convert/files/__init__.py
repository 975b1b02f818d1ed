"""Weight files as read-only mappings from name to memory-mapped array; no torch, no paddle.

One module a file kind (`safetensors`, `torch_file`, `pdparams`), all giving a `TensorFile`;
`folder.open_weights` finds and joins what a checkpoint folder holds. Files come from strangers:
every reader checks lengths, offsets and names before it hands out a single byte, and pickles are
interpreted by `pickle_reader`, which can build tensors and nothing else.
"""
