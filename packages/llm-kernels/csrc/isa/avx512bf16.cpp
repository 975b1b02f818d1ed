// The avx512bf16 unit, with VNNI and BF16: the kernels compiled for this instruction set. No
// standard-library header here.
#define LLM_KERNELS_UNIT avx512bf16
// clang-format off: the vector types come before the kernels
#include "llm_kernels/kernel_table.h"
#include "simd/avx512.h"
#include "simd/dot512_vnni.h"
#include "kernels/no_matrix.h"
#include "kernels/no_tall_tiles.h"
#include "kernels/table.h"
// clang-format on

namespace llm_kernels {

const KernelTable& avx512bf16_table() { return avx512bf16::kTable; }

}  // namespace llm_kernels
