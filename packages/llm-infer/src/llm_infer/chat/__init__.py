"""The command `llm infer chat`: a conversation on the terminal.

`dialogue` knows rounds and tokens, `terminal` knows lines and keys; neither knows the other's.
"""
