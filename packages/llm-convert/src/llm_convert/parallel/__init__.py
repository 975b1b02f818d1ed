"""Checkpoints in the shards of tensor and pipeline parallel training, as PaddleNLP lays them out.

    files = merging.open_shards(folder, grid.find_shards(folder), spec, sizes)   # a `TensorFile`
    writing.merge_model(model, folder)               # whole weights from a model opened from shards
    writing.split_model(model, folder, tensor=4)     # one model into the shards of 4 ranks

`splitting` knows which rank holds what of a tensor, `grid` how shards are called; `merging` and
`writing` go either way. `open_model` reads shards by itself. Nothing here communicates between
processes.
"""
