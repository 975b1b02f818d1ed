// The amx unit: avx512bf16 with the tiles of AMX. No standard-library header here.
#define LLM_KERNELS_UNIT amx
// clang-format off: the vector types come before the kernels
#include "llm_kernels/kernel_table.h"
#include "simd/avx512.h"
#include "simd/dot512_vnni.h"
#include "simd/matrix_amx.h"
#include "kernels/linear_matrix.h"
#include "kernels/attention_matrix.h"
#include "kernels/table.h"
// clang-format on

namespace llm_kernels {

const KernelTable& amx_table() { return amx::kTable; }

}  // namespace llm_kernels
