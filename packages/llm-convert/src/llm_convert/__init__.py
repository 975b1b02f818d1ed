"""Model weights to and from torch, PaddleNLP and other checkpoint files, without torch or paddle."""
