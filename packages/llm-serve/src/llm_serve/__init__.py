"""Serve a model over HTTP with the OpenAI interface.

Knows HTTP and JSON; what an engine does is `llm_infer`'s, what text becomes is `llm_data`'s.
One letter legend for the docstrings: B choices of one answer, T tokens, V vocabulary.
"""
