#include "llm_kernels/isa.h"

#include <cstdlib>
#include <stdexcept>

#if defined(LLM_KERNELS_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace llm_kernels {
namespace {

constexpr Isa kLevels[] = {Isa::scalar, Isa::avx2, Isa::avx512, Isa::avx512bf16, Isa::amx};

Isa level_named(const std::string& name, const std::string& where) {
  for (Isa isa : kLevels) {
    if (name == isa_name(isa)) return isa;
  }
  throw std::invalid_argument(where + " is '" + name +
                              "', which is no instruction set of these kernels: choose scalar, "
                              "avx2, avx512, avx512bf16 or amx.");
}

Isa runnable_named(const std::string& name, const std::string& where) {
  const Isa level = level_named(name, where);
  if (level > detected_isa()) {
    throw std::invalid_argument(where + " is '" + name + "', but this processor runs " +
                                isa_name(detected_isa()) + " at most: choose that or a lower one.");
  }
  return level;
}

Isa read_selection() {
  const char* wanted = std::getenv("LLM_KERNELS_ISA");
  if (wanted == nullptr || *wanted == '\0') return detected_isa();
  return runnable_named(wanted, "The environment variable LLM_KERNELS_ISA");
}

#if defined(LLM_KERNELS_AMX)

// arch_prctl(2): what of the processor's state Linux knows, and the request for one.
constexpr int kKnownStates = 0x1021, kAskForState = 0x1023, kTileData = 18;

bool has_tiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kTiles = 1u << 24, kInt8 = 1u << 25, kBFloat16 = 1u << 22;
  constexpr unsigned kAll = kTiles | kInt8 | kBFloat16;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kAll) != kAll) return false;
  unsigned long long known = 0;
  return syscall(SYS_arch_prctl, kKnownStates, &known) == 0 && (known >> kTileData & 1) != 0;
}

// Tiles are more state than a thread has by default: Linux gives it to who asks, from then on to
// all threads of the process, whose signal frames grow. So it is asked for when it is used.
void ask_for_tiles() {
  static const bool granted = syscall(SYS_arch_prctl, kAskForState, kTileData) == 0;
  if (granted) return;
  throw std::runtime_error(
      "Linux does not let this process use AMX, perhaps because a library gave a thread too small "
      "a stack for signals. LLM_KERNELS_ISA=avx512bf16 does without.");
}

#else

bool has_tiles() { return false; }

#endif

}  // namespace

Isa detected_isa() {
#if defined(LLM_KERNELS_EMULATE_AVX512)
  return Isa::avx512bf16;
#elif defined(LLM_KERNELS_X86_64)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512bf16")) {
      return Isa::avx512;
    }
    return has_tiles() ? Isa::amx : Isa::avx512bf16;
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
    case Isa::amx:
      return "amx";
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
#if defined(LLM_KERNELS_AMX)
  if (isa == Isa::amx) {
    ask_for_tiles();
    return amx_table();
  }
#endif
#if defined(LLM_KERNELS_X86_64)
  if (isa == Isa::avx512bf16) return avx512bf16_table();
  if (isa == Isa::avx512) return avx512_table();
  if (isa == Isa::avx2) return avx2_table();
#endif
  (void)isa;  // elsewhere there is one level
  return scalar_table();
}

Isa isa_from_name(const std::string& name) { return runnable_named(name, "isa"); }

Isa packed_isa(Isa isa) { return isa == Isa::amx ? Isa::avx512bf16 : isa; }

}  // namespace llm_kernels
