// The avx512 unit: the kernels compiled for this instruction set. No
// standard-library header here.
#define LLM_KERNELS_UNIT avx512
// clang-format off: the vector types come before the kernels
#include "llm_kernels/kernel_table.h"
#include "simd/avx512.h"
#include "simd/dot512_pairs.h"
#include "kernels/no_matrix.h"
#include "kernels/no_tall_tiles.h"
#include "kernels/table.h"
// clang-format on

namespace llm_kernels {

const KernelTable& avx512_table() { return avx512::kTable; }

}  // namespace llm_kernels
