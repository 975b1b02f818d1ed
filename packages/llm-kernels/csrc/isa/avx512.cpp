namespace llm_kernels { int level_avx512() { return 0; } }
