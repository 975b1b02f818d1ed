"""Run models: a native engine with block attention, and Paddle's dynamic and static graphs."""
