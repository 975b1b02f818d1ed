namespace llm_kernels { int level_avx2() { return 0; } }
