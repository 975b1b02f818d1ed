// The loops around the linear tile: which panels, which rows, which inputs, on which thread.
//
// Rows of x go in stripes, panels of weights in tasks for the threads. A stripe that fits the cache
// is met by one panel after the other, each streamed from end to end; a larger one is cut along the
// inputs, kSegment at a time, so that its piece stays in cache while all panels of a task pass.
// Codes are decoded in registers, or once a stripe to float where the table says that this pays.
// Every way adds the same numbers in the same order.
#include "llm_kernels/linear.h"

#include <algorithm>

#include "linear_inputs.h"

namespace llm_kernels {
namespace {

constexpr std::size_t kStripeRows = 192;  // a multiple of every tile's rows
// Where inputs are few, more rows fit the cache for which a matrix unit's codes are expanded once.
constexpr std::size_t kTallStripeRows = 2 * kStripeRows;
constexpr std::size_t kTallStripeInputs = 2048;
constexpr std::size_t kCachedStripe = std::size_t{1} << 20;
constexpr std::size_t kTallChunkBytes =
    2048;  // of a row; its codes and a panel's fit the second cache
constexpr std::size_t kMostPanelsPerTask = 8;
constexpr std::size_t kTasksPerThread = 4;

struct Task {
  const LinearPart* part;
  InputKey key;
  const StripeInputs* inputs;
  std::size_t segments;  // of a row, for its sums and scales
  std::size_t first_panel;
  std::size_t last_panel;
};

// What all tasks of a stripe share. Tiles of floats and of codes have other heights.
struct Pass {
  const KernelTable& table;
  Stripe floats;
  Stripe codes;
  Stripe tall;

  const Stripe& stripe(const InputKey& key) const {
    return key.tall ? tall : key.is_codes() ? codes : floats;
  }
};

// Whether the first tile sets the outputs, instead of adding to what they begin with.
bool sets_outputs(const Task& task) { return task.key.tall && !task.part->accumulate; }

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

// The fields that tiles of floats and of codes have in common.
template <class Tile>
Tile panel_tile(const Task& task, const KernelTable& table, std::size_t panel, std::size_t begin,
                std::size_t end) {
  const PackedLinear& weight = *task.part->weight;
  Tile tile = {};
  tile.codes = weight.codes(panel, begin);
  tile.scales = weight.scales(panel);
  tile.offsets = weight.offsets(panel);
  tile.y_stride = task.part->y_stride;
  tile.columns = std::min(table.panel_rows, weight.rows() - panel * table.panel_rows);
  tile.k_begin = begin;
  tile.k_end = end;
  tile.group = weight.group();
  return tile;
}

float* output_at(const Task& task, const Pass& pass, std::size_t panel, std::size_t row) {
  return task.part->y + (pass.floats.first_row + row) * task.part->y_stride +
         panel * pass.table.panel_rows;
}

// One panel meets inputs [begin, end) of every tile of the stripe.
void meet_floats(const Task& task, const Pass& pass, std::size_t panel, std::size_t begin,
                 std::size_t end, const GrowingBuffer<float>& expanded) {
  const KernelTable& table = pass.table;
  const Stripe& stripe = pass.floats;
  auto tile = panel_tile<LinearTile>(task, table, panel, begin, end);
  WeightFormat format = task.part->weight->format();
  if (stripe.rows >= table.expand_rows[format]) {
    table.expand[format](tile.codes, end - begin, expanded.data());
    tile.codes = expanded.data();
    format = kFloat32;
  }
  const std::size_t before = task.key.sums ? segments_before(begin, task.key, stripe.inputs) : 0;
  for (std::size_t t = 0; t < stripe.tiles(); ++t) {
    const std::size_t rows = stripe.rows_in(t);
    const std::size_t row = t * stripe.tile_rows;
    tile.x = task.inputs->floats + stripe.float_place(begin, end - begin, t);
    tile.sums = nullptr;
    if (task.key.sums) tile.sums = task.inputs->sums.data() + row * task.segments + before * rows;
    tile.y = output_at(task, pass, panel, row);
    table.linear_tile[format](tile, rows);
  }
}

void meet_codes(const Task& task, const Pass& pass, std::size_t panel, std::size_t begin,
                std::size_t end, const GrowingBuffer<float>& expanded) {
  const KernelTable& table = pass.table;
  const Stripe& stripe = pass.stripe(task.key);
  auto tile = panel_tile<DotTile>(task, table, panel, begin, end);
  tile.offset = task.part->weight->offset();
  tile.run = task.key.run;
  tile.fresh = begin == 0 && sets_outputs(task);
  if (const float* bias = task.part->weight->bias()) tile.bias = bias + panel * table.panel_rows;
  const int format = task.part->weight->format() - kFloatFormats;
  if (task.key.tall && table.tall.expand[format]) {
    auto* bytes = reinterpret_cast<std::uint8_t*>(expanded.data());
    table.tall.expand[format](tile.codes, end - begin, bytes);
    tile.codes = bytes;
  }
  const auto compute_tile = task.key.tall ? table.tall.tile[format] : table.dot_tile[format];
  const std::size_t before = segments_before(begin, task.key, stripe.inputs);
  for (std::size_t t = 0; t < stripe.tiles(); ++t) {
    const std::size_t rows = stripe.rows_in(t);
    const std::size_t row = t * stripe.tile_rows;
    const std::size_t scales = row * task.segments + before * rows;
    tile.x = task.inputs->codes.data() + stripe.code_place(begin, t, task.key.code_bytes);
    tile.x_scales = task.inputs->scales.data() + scales;
    tile.x_sums = task.inputs->sums.data() + scales;
    tile.y = output_at(task, pass, panel, row);
    tile.cold = t == 0;
    compute_tile(tile, rows);
  }
}

// Inputs that are met at once. A lone tile's chunks are one, unless codes are expanded.
std::size_t chunk_of(const InputKey& key, const Stripe& stripe) {
  if (key.tall) return kTallChunkBytes / key.code_bytes;
  return stripe.tiles() == 1 ? stripe.inputs : kSegment;
}

void compute(const Task& task, const Pass& pass, const GrowingBuffer<float>& expanded) {
  const Stripe& stripe = pass.stripe(task.key);
  if (!sets_outputs(task)) start_outputs(task, pass.table, stripe);
  const std::size_t k = stripe.inputs;
  const std::size_t chunk = chunk_of(task.key, stripe);
  const std::size_t chunks = (k + chunk - 1) / chunk;
  const std::size_t panels = task.last_panel - task.first_panel;
  const std::size_t input_bytes = task.key.is_codes() ? task.key.code_bytes : sizeof(float);
  const bool cached = stripe.rows * k * input_bytes <= kCachedStripe;
  for (std::size_t i = 0; i < panels * chunks; ++i) {
    const std::size_t panel = task.first_panel + (cached ? i / chunks : i % panels);
    const std::size_t begin = (cached ? i % chunks : i / panels) * chunk;
    const std::size_t end = std::min(begin + chunk, k);
    if (task.key.is_codes()) {
      meet_codes(task, pass, panel, begin, end, expanded);
    } else {
      meet_floats(task, pass, panel, begin, end, expanded);
    }
  }
}

// The inputs of every part, packed once for all parts that read them alike; a task of panels each.
std::vector<Task> split_tasks(const Pass& pass, ThreadPool& pool, LinearScratch& scratch,
                              const std::vector<LinearPart>& parts) {
  std::size_t panels = 0;
  for (const LinearPart& part : parts) panels += part.weight->panels();
  const std::size_t wanted = kTasksPerThread * static_cast<std::size_t>(pool.threads());
  const std::size_t grain = std::clamp<std::size_t>(panels / wanted, 1, kMostPanelsPerTask);
  std::vector<InputKey> keys;
  std::vector<Task> tasks;
  for (const LinearPart& part : parts) {
    const InputKey key = input_key(pass.table, *part.weight, pass.floats.rows);
    const auto known = std::find(keys.begin(), keys.end(), key);
    StripeInputs& inputs = scratch.inputs[static_cast<std::size_t>(known - keys.begin())];
    if (known == keys.end()) {
      pack_inputs(pass.table, pool, pass.stripe(key), key, scratch.rows, inputs);
      keys.push_back(key);
    }
    const std::size_t count = part.weight->panels();
    const std::size_t segments = segments_before(pass.floats.inputs, key, pass.floats.inputs);
    for (std::size_t first = 0; first < count; first += grain) {
      tasks.push_back({&part, key, &inputs, segments, first, std::min(first + grain, count)});
    }
  }
  return tasks;
}

// Before the tasks, because those may not throw.
void make_room(const KernelTable& table, const ThreadPool& pool, LinearScratch& scratch,
               std::size_t stripe_rows, const std::vector<LinearPart>& parts) {
  scratch.inputs.resize(std::max(scratch.inputs.size(), parts.size()));
  scratch.expanded.resize(static_cast<std::size_t>(pool.threads()));
  scratch.rows.resize(static_cast<std::size_t>(pool.threads()));
  std::size_t floats = 0, bytes = 0;
  for (const LinearPart& part : parts) {
    const WeightFormat format = part.weight->format();
    const InputKey key = input_key(table, *part.weight, stripe_rows);
    bytes = std::max(bytes, row_bytes(key, part.weight->inputs()));
    if (part.weight->is_dot()) {
      if (key.tall) floats = std::max(floats, kTallChunkBytes * table.panel_rows / sizeof(float));
    } else if (stripe_rows >= table.expand_rows[format]) {
      floats = std::max(floats, kSegment * table.panel_rows);
    }
  }
  for (GrowingBuffer<float>& room : scratch.expanded) room.reserve(floats);
  for (GrowingBuffer<std::int8_t>& room : scratch.rows) room.reserve(bytes);
}

}  // namespace

void linear(const KernelTable& table, ThreadPool& pool, LinearScratch& scratch, const float* x,
            std::size_t rows, const std::vector<LinearPart>& parts) {
  const std::size_t k = parts.front().weight->inputs();
  const bool tall = table.tall.rows > 0 && k <= kTallStripeInputs;
  const std::size_t stripe_rows = tall ? kTallStripeRows : kStripeRows;
  make_room(table, pool, scratch, std::min(rows, stripe_rows), parts);
  for (std::size_t first = 0; first < rows; first += stripe_rows) {
    const std::size_t count = std::min(stripe_rows, rows - first);
    const Pass pass = {table,
                       {x, first, count, k, table.tile_rows},
                       {x, first, count, k, table.dot_tile_rows},
                       {x, first, count, k, std::max<std::size_t>(table.tall.rows, 1)}};
    const std::vector<Task> tasks = split_tasks(pass, pool, scratch, parts);
    pool.run(tasks.size(), [&](std::size_t index, int thread) {
      compute(tasks[index], pass, scratch.expanded[static_cast<std::size_t>(thread)]);
    });
  }
}

}  // namespace llm_kernels
