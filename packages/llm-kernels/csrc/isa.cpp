#include "llm_kernels/isa.h"

#include <cstdlib>
#include <stdexcept>

namespace llm_kernels {
namespace {

constexpr Isa kLevels[] = {Isa::scalar, Isa::avx2, Isa::avx512, Isa::avx512bf16};

Isa level_named(const std::string& name, const std::string& where) {
  for (Isa isa : kLevels) {
    if (name == isa_name(isa)) return isa;
  }
  throw std::invalid_argument(where + " is '" + name +
                              "', which is no instruction set of these kernels: choose scalar, "
                              "avx2, avx512 or avx512bf16.");
}

Isa read_selection() {
  const char* wanted = std::getenv("LLM_KERNELS_ISA");
  if (wanted == nullptr || *wanted == '\0') return detected_isa();
  const Isa level = level_named(wanted, "The environment variable LLM_KERNELS_ISA");
  return level < detected_isa() ? level : detected_isa();
}

}  // namespace

Isa detected_isa() {
#if defined(LLM_KERNELS_EMULATE_AVX512)
  return Isa::avx512bf16;
#elif defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    const bool products =
        __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
    return products ? Isa::avx512bf16 : Isa::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::scalar;
}

Isa selected_isa() {
  static const Isa chosen = read_selection();
  return chosen;
}

std::vector<Isa> runnable_isas() {
  std::vector<Isa> runnable;
  for (Isa isa : kLevels) {
    if (isa <= detected_isa()) runnable.push_back(isa);
  }
  return runnable;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx512bf16:
      return "avx512bf16";
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    default:
      return "scalar";
  }
}

const KernelTable& kernel_table(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512bf16) return avx512bf16_table();
  if (isa == Isa::avx512) return avx512_table();
  if (isa == Isa::avx2) return avx2_table();
#endif
  (void)isa;  // elsewhere there is one level
  return scalar_table();
}

Isa isa_from_name(const std::string& name) {
  const Isa level = level_named(name, "isa");
  if (level > detected_isa()) {
    throw std::invalid_argument("isa '" + name + "' is above what this processor runs, " +
                                isa_name(detected_isa()) + ".");
  }
  return level;
}

}  // namespace llm_kernels
