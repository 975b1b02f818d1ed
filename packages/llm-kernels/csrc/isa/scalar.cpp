namespace llm_kernels { int level_scalar() { return 0; } }
