// The avx2 unit: the kernels compiled for this instruction set. No standard-library header here.
#include "simd/avx2.h"

#include "llm_kernels/kernel_table.h"

#define LLM_KERNELS_UNIT avx2
#include "kernels/linear_pairs.h"
#include "kernels/no_matrix.h"
#include "kernels/table.h"

namespace llm_kernels {

const KernelTable& avx2_table() { return avx2::kTable; }

}  // namespace llm_kernels
