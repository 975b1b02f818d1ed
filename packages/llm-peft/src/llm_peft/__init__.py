"""LoRA and prefix tuning: train, merge."""
