"""Training with several processes: who holds what, and what they tell each other.

A run's processes form a grid of four axes (`layout`): tensor, pipeline, sharding and data. Fleet
makes the grid and its groups (`groups`); the layers of a rank (`tensor`), the order of a pipeline's
work (`schedule`, `pipeline`), gradients and the optimizer (`gradients`, `sharding`) are here, and
speak only through `collectives`. With one process nothing of this package runs.
"""
