"""``python -m llm_cli`` is the command ``llm``."""

from llm_cli.main import main

main()
