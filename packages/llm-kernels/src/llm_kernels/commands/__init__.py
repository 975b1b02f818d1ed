"""What `llm kernels` and `llm doctor` say: what runs here, whether its numbers are right."""
