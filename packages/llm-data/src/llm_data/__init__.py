"""Tokenize, check and pack training data."""
