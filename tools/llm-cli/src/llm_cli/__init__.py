"""The frame of every `llm` command: options in, progress and errors to the user, outputs on disk.

A package describes its commands with :mod:`llm_cli.command`, its options with
:mod:`llm_cli.options`, and never sees click. Importing this package imports nothing else.
"""
