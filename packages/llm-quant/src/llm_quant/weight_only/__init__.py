"""`llm quant weight-only`: rounding to the nearest grid point, without calibration."""
