// Norms and rotary embedding of one row, over the vector type of the including unit.
#pragma once

#include "kernels/math.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

// The sum over i < n of function(i, live lanes), in two chains.
template <class Function>
inline float sum_of(size_t n, Function function) {
  Vec even = zero();
  Vec odd = zero();
  size_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    even = function(i, kWidth, even);
    odd = function(i + kWidth, kWidth, odd);
  }
  for (; i < n; i += kWidth) even = function(i, n - i < kWidth ? n - i : kWidth, even);
  return sum(add(even, odd));
}

void rms_norm(const float* x, const float* weight, float eps, size_t n, float* y) {
  const float squares = sum_of(n, [x](size_t i, size_t live, Vec total) {
    const Vec v = load_live(x + i, live);
    return fma(v, v, total);
  });
  const float root = __builtin_sqrtf(squares / static_cast<float>(n) + eps);
  const Vec scale = set(1.0f / root);
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    store(y + i, mul(mul(load(x + i), scale), load(weight + i)));
  }
  if (i < n) {
    const size_t left = n - i;
    store_first(y + i, mul(mul(load_first(x + i, left), scale), load_first(weight + i, left)),
                left);
  }
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, size_t n,
                float* y) {
  const float total =
      sum_of(n, [x](size_t i, size_t live, Vec acc) { return add(acc, load_live(x + i, live)); });
  const float mean = total / static_cast<float>(n);
  const Vec center = set(mean);
  const float squares = sum_of(n, [x, center](size_t i, size_t live, Vec acc) {
    Vec v = sub(load_live(x + i, live), center);
    if (live < kWidth) {
      float lanes[kWidth];
      store(lanes, v);
      v = load_first(lanes, live);
    }
    return fma(v, v, acc);
  });
  const Vec scale = set(1.0f / __builtin_sqrtf(squares / static_cast<float>(n) + eps));
  for (size_t i = 0; i < n; i += kWidth) {
    const size_t live = n - i < kWidth ? n - i : kWidth;
    const Vec shift = bias ? load_live(bias + i, live) : zero();
    const Vec v = mul(sub(load_live(x + i, live), center), scale);
    store_first(y + i, fma(v, load_live(weight + i, live), shift), live);
  }
}

void rope_half(float* x, const float* cos, const float* sin, size_t pairs) {
  size_t i = 0;
  for (; i + kWidth <= pairs; i += kWidth) {
    const Vec a = load(x + i);
    const Vec b = load(x + pairs + i);
    const Vec c = load(cos + i);
    const Vec s = load(sin + i);
    store(x + i, sub(mul(a, c), mul(b, s)));
    store(x + pairs + i, add(mul(b, c), mul(a, s)));
  }
  for (; i < pairs; ++i) {
    const float a = x[i];
    const float b = x[pairs + i];
    x[i] = a * cos[i] - b * sin[i];
    x[pairs + i] = b * cos[i] + a * sin[i];
  }
}

void rope_interleaved(float* x, const float* cos, const float* sin, size_t pairs) {
  for (size_t i = 0; i < pairs; ++i) {
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = b * cos[i] + a * sin[i];
  }
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
