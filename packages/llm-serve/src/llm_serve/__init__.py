"""Serve models over HTTP with the OpenAI interface."""
