// How fast this machine reads memory now: read_memory MEGABYTES THREADS prints GB/s, the best of
// several patterns, each a pass of all threads over memory of their own.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// Adds up `count` words in `streams` parallel runs, a cache line of each in turn.
std::uint64_t read(const std::uint64_t* words, std::size_t count, std::size_t streams) {
  std::uint64_t sums[8] = {};
  const std::size_t run = count / streams;
  for (std::size_t at = 0; at + 8 <= run; at += 8) {
    for (std::size_t s = 0; s < streams; ++s) {
      const std::uint64_t* line = words + s * run + at;
      __builtin_prefetch(line + 64);
      for (int i = 0; i < 8; ++i) sums[i] += line[i];
    }
  }
  std::uint64_t total = 0;
  for (const std::uint64_t sum : sums) total += sum;
  return total;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::size_t words = std::strtoull(argv[1], nullptr, 10) * 1000000 / 8;
  const std::size_t threads = std::strtoull(argv[2], nullptr, 10);
  std::vector<std::vector<std::uint64_t>> memory;
  for (std::size_t t = 0; t < threads; ++t) memory.emplace_back(words / threads, t + 1);
  volatile std::uint64_t kept = 0;
  double best = 0.0;
  for (int repeat = 0; repeat < 3; ++repeat) {
    for (const std::size_t streams : {1, 2, 4, 8}) {
      const auto start = Clock::now();
      std::vector<std::thread> readers;
      for (const auto& part : memory) {
        readers.emplace_back([&] { kept = kept + read(part.data(), part.size(), streams); });
      }
      for (std::thread& reader : readers) reader.join();
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      const double rate = static_cast<double>(words * 8) / seconds / 1e9;
      best = rate > best ? rate : best;
    }
  }
  std::printf("%.2f\n", best);
}
