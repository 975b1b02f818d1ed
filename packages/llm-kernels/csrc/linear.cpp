// The loops around the linear tile: which panels, which rows, which inputs, on which thread.
//
// Rows of x go in stripes, panels of weights in tasks for the threads. A stripe that fits the cache
// is met by one panel after the other, each streamed from end to end; a larger one is cut along the
// inputs, kSegment at a time, so that its piece stays in cache while all panels of a task pass.
// Codes are decoded in registers, or once a stripe to float where the table says that this pays.
// Every way adds the same numbers in the same order.
#include "llm_kernels/linear.h"

#include <algorithm>

namespace llm_kernels {
namespace {

constexpr std::size_t kStripeRows = 192;  // a multiple of every table's tile_rows
constexpr std::size_t kCachedStripe = std::size_t{1} << 20;
constexpr std::size_t kMostPanelsPerTask = 8;
constexpr std::size_t kTasksPerThread = 4;

// A stripe of x, packed [kSegment chunk][tile][input][row of tile].
struct Stripe {
  const float* x;
  std::size_t first_row;
  std::size_t rows;
  std::size_t inputs;
  std::size_t tile_rows;

  std::size_t tiles() const { return (rows + tile_rows - 1) / tile_rows; }
  std::size_t rows_in(std::size_t tile) const {
    return std::min(tile_rows, rows - tile * tile_rows);
  }
  // Rows before a tile, which is also where its inputs lie in a chunk, a row at a time.
  const float* at(std::size_t chunk_begin, std::size_t chunk, std::size_t tile) const {
    return x + chunk_begin * rows + tile * tile_rows * chunk;
  }
};

struct Task {
  const LinearPart* part;
  const float* sums;
  std::size_t first_panel;
  std::size_t last_panel;
};

// Where each segment's sums start, in segments, when `k` is where the segment starts.
std::size_t segments_before(std::size_t k, std::size_t inputs, std::size_t group) {
  std::size_t count = 0;
  for (std::size_t at = 0; at < k; at = segment_end(at, inputs, group)) ++count;
  return count;
}

void pack_stripe(ThreadPool& pool, const float* x, const Stripe& stripe, float* out) {
  const std::size_t k = stripe.inputs;
  pool.run(stripe.tiles(), [&](std::size_t tile, int) {
    const std::size_t rows = stripe.rows_in(tile);
    const float* from = x + (stripe.first_row + tile * stripe.tile_rows) * k;
    for (std::size_t begin = 0; begin < k; begin += kSegment) {
      const std::size_t chunk = std::min(kSegment, k - begin);
      float* to = out + (stripe.at(begin, chunk, tile) - stripe.x);
      for (std::size_t i = 0; i < chunk; ++i) {
        for (std::size_t m = 0; m < rows; ++m) to[i * rows + m] = from[m * k + begin + i];
      }
    }
  });
}

// Sums of x over each segment, [tile][segment][row of tile].
void sum_segments(const float* x, const Stripe& stripe, std::size_t group,
                  std::vector<float>& sums) {
  const std::size_t k = stripe.inputs;
  sums.resize(segments_before(k, k, group) * stripe.rows);
  float* to = sums.data();
  for (std::size_t tile = 0; tile < stripe.tiles(); ++tile) {
    const std::size_t rows = stripe.rows_in(tile);
    const float* from = x + (stripe.first_row + tile * stripe.tile_rows) * k;
    for (std::size_t at = 0; at < k;) {
      const std::size_t end = segment_end(at, k, group);
      for (std::size_t m = 0; m < rows; ++m) {
        float total = 0.0f;
        for (std::size_t i = at; i < end; ++i) total += from[m * k + i];
        *to++ = total;
      }
      at = end;
    }
  }
}

void start_outputs(const Task& task, const KernelTable& table, const Stripe& stripe) {
  const PackedLinear& weight = *task.part->weight;
  const std::size_t begin = task.first_panel * table.panel_rows;
  const std::size_t end = std::min(task.last_panel * table.panel_rows, weight.rows());
  const float* bias = weight.bias();
  for (std::size_t m = 0; m < stripe.rows; ++m) {
    float* y = task.part->y + (stripe.first_row + m) * task.part->y_stride;
    if (!task.part->accumulate) {
      for (std::size_t i = begin; i < end; ++i) y[i] = bias ? bias[i] : 0.0f;
    } else if (bias) {
      for (std::size_t i = begin; i < end; ++i) y[i] += bias[i];
    }
  }
}

LinearTile panel_tile(const Task& task, const KernelTable& table, std::size_t panel) {
  const PackedLinear& weight = *task.part->weight;
  LinearTile tile = {};
  tile.scales = weight.scales(panel);
  tile.offsets = weight.offsets(panel);
  tile.y_stride = task.part->y_stride;
  tile.columns = std::min(table.panel_rows, weight.rows() - panel * table.panel_rows);
  tile.group = weight.group();
  return tile;
}

// One panel meets inputs [begin, end) of every tile of the stripe.
void meet_panel(const Task& task, const KernelTable& table, const Stripe& stripe, std::size_t panel,
                std::size_t begin, std::size_t end, std::vector<float>& expanded) {
  const PackedLinear& weight = *task.part->weight;
  LinearTile tile = panel_tile(task, table, panel);
  tile.k_begin = begin;
  tile.k_end = end;
  tile.codes = weight.codes(panel, begin);
  WeightFormat format = weight.format();
  if (stripe.rows >= table.expand_rows[format]) {
    table.expand[format](tile.codes, end - begin, expanded.data());
    tile.codes = expanded.data();
    format = kFloat32;
  }
  const std::size_t segments =
      task.sums ? segments_before(stripe.inputs, stripe.inputs, tile.group) : 0;
  const std::size_t before = task.sums ? segments_before(begin, stripe.inputs, tile.group) : 0;
  for (std::size_t t = 0; t < stripe.tiles(); ++t) {
    const std::size_t rows = stripe.rows_in(t);
    const std::size_t row = t * stripe.tile_rows;
    tile.x = stripe.at(begin, end - begin, t);
    tile.sums = task.sums ? task.sums + row * segments + before * rows : nullptr;
    tile.y = task.part->y + (stripe.first_row + row) * tile.y_stride + panel * table.panel_rows;
    table.linear_tile[format](tile, rows);
  }
}

void compute(const Task& task, const KernelTable& table, const Stripe& stripe,
             std::vector<float>& expanded) {
  start_outputs(task, table, stripe);
  const std::size_t k = stripe.inputs;
  const std::size_t chunk = stripe.tiles() == 1 ? k : kSegment;  // a lone tile's chunks are one
  const std::size_t chunks = (k + chunk - 1) / chunk;
  const std::size_t panels = task.last_panel - task.first_panel;
  const bool cached = stripe.rows * k * sizeof(float) <= kCachedStripe;
  for (std::size_t i = 0; i < panels * chunks; ++i) {
    const std::size_t panel = task.first_panel + (cached ? i / chunks : i % panels);
    const std::size_t begin = (cached ? i % chunks : i / panels) * chunk;
    meet_panel(task, table, stripe, panel, begin, std::min(begin + chunk, k), expanded);
  }
}

std::vector<Task> split_tasks(const std::vector<LinearPart>& parts, const LinearScratch& scratch,
                              int threads) {
  std::size_t panels = 0;
  for (const LinearPart& part : parts) panels += part.weight->panels();
  const std::size_t wanted = kTasksPerThread * static_cast<std::size_t>(threads);
  const std::size_t grain = std::clamp<std::size_t>(panels / wanted, 1, kMostPanelsPerTask);
  std::vector<Task> tasks;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const std::size_t count = parts[p].weight->panels();
    const float* sums = parts[p].weight->has_offsets() ? scratch.sums[p].data() : nullptr;
    for (std::size_t first = 0; first < count; first += grain) {
      tasks.push_back({&parts[p], sums, first, std::min(first + grain, count)});
    }
  }
  return tasks;
}

// Before the tasks, because those may not throw.
void make_room_to_expand(const KernelTable& table, const ThreadPool& pool, LinearScratch& scratch,
                         std::size_t stripe_rows, const std::vector<LinearPart>& parts) {
  scratch.expanded.resize(static_cast<std::size_t>(pool.threads()));
  const bool needed = std::any_of(parts.begin(), parts.end(), [&](const LinearPart& part) {
    return stripe_rows >= table.expand_rows[part.weight->format()];
  });
  if (!needed) return;
  for (std::vector<float>& room : scratch.expanded) room.resize(kSegment * table.panel_rows);
}

}  // namespace

void linear(const KernelTable& table, ThreadPool& pool, LinearScratch& scratch, const float* x,
            std::size_t rows, const std::vector<LinearPart>& parts) {
  const std::size_t k = parts.front().weight->inputs();
  scratch.sums.resize(std::max(scratch.sums.size(), parts.size()));
  make_room_to_expand(table, pool, scratch, std::min(rows, kStripeRows), parts);
  for (std::size_t first = 0; first < rows; first += kStripeRows) {
    Stripe stripe = {x + first * k, first, std::min(kStripeRows, rows - first), k, table.tile_rows};
    if (stripe.rows > 1) {
      scratch.x.resize(std::max(scratch.x.size(), stripe.rows * k));
      stripe.x = scratch.x.data();
      pack_stripe(pool, x, stripe, scratch.x.data());
    }
    for (std::size_t p = 0; p < parts.size(); ++p) {
      if (parts[p].weight->has_offsets()) {
        sum_segments(x, stripe, parts[p].weight->group(), scratch.sums[p]);
      }
    }
    const std::vector<Task> tasks = split_tasks(parts, scratch, pool.threads());
    pool.run(tasks.size(), [&](std::size_t index, int thread) {
      compute(tasks[index], table, stripe, scratch.expanded[static_cast<std::size_t>(thread)]);
    });
  }
}

}  // namespace llm_kernels
