"""Merging adapters without Paddle: shard by shard, with a certificate of the result."""
