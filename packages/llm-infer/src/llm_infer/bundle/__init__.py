"""Packed bundles: a model's weights as the kernels read them, in one file that is mapped.

`writing` packs and writes (`llm infer export`), `reading` maps (`llm infer --mode static`); a
bundle starts without reading, converting or quantizing anything. `layout` is what both know of the
files.
"""
