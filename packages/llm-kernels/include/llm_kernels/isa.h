// Which instruction set runs: what the processor has, or less by LLM_KERNELS_ISA.
#pragma once

#include <string>
#include <vector>

#include "llm_kernels/kernel_table.h"

namespace llm_kernels {

enum class Isa { scalar = 0, avx2 = 1, avx512 = 2, avx512bf16 = 3, amx = 4 };

// The best level that this processor and this build can run.
Isa detected_isa();

// detected_isa() unless the environment's LLM_KERNELS_ISA names a lower level; read once. Throws
// std::invalid_argument where the variable holds anything else.
Isa selected_isa();

// Every level from scalar up to the detected one.
std::vector<Isa> runnable_isas();

const char* isa_name(Isa isa);

// The inner loops of a level, which must be one of runnable_isas(). std::runtime_error where the
// system refuses the state that it needs.
const KernelTable& kernel_table(Isa isa);

// The level of that name; std::invalid_argument names the levels there are, and a level above
// detected_isa() is refused with a sentence.
Isa isa_from_name(const std::string& name);

// The level whose packed weights this one reads; most have their own.
Isa packed_isa(Isa isa);

}  // namespace llm_kernels
