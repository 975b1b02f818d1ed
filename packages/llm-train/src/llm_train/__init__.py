"""Pretraining and supervised fine-tuning on Paddle Fleet."""
