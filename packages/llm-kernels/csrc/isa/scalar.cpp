// The scalar unit: the kernels compiled for this instruction set. No standard-library header here.
#include "simd/scalar.h"

#include "llm_kernels/kernel_table.h"

#define LLM_KERNELS_UNIT scalar
#include "kernels/no_matrix.h"
#include "kernels/no_tall_tiles.h"
#include "kernels/table.h"

namespace llm_kernels {

const KernelTable& scalar_table() { return scalar::kTable; }

}  // namespace llm_kernels
