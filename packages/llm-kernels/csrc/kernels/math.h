// exp and what is built on it, over the vector type of the including unit.
#pragma once

namespace llm_kernels::LLM_KERNELS_UNIT {

// The first `live` floats at p, zeros after them.
inline Vec load_live(const float* p, size_t live) {
  return live == kWidth ? load(p) : load_first(p, live);
}

// e^x to about 2 units in the last place; exactly 0 below -87.
inline Vec exp(Vec x) {
  // Range reduction x = n ln 2 + r in two parts of ln 2 (Cody and Waite), then the Taylor series of
  // e^r, |r| <= ln 2 / 2, to the seventh power.
  const Vec clamped = min(max(x, set(-87.0f)), set(88.0f));
  const Vec n = nearest(mul(clamped, set(1.44269504f)));
  Vec r = fma(n, set(-0.693359375f), clamped);
  r = fma(n, set(2.12194440e-4f), r);
  Vec p = set(1.0f / 5040.0f);
  p = fma(p, r, set(1.0f / 720.0f));
  p = fma(p, r, set(1.0f / 120.0f));
  p = fma(p, r, set(1.0f / 24.0f));
  p = fma(p, r, set(1.0f / 6.0f));
  p = fma(p, r, set(0.5f));
  p = fma(p, r, set(1.0f));
  p = fma(p, r, set(1.0f));
  return where_at_least(x, set(-87.0f), scale_by_power(p, n));
}

inline Vec sigmoid(Vec x) { return div(set(1.0f), add(set(1.0f), exp(sub(zero(), x)))); }

struct Silu {
  static Vec apply(Vec x) { return mul(x, sigmoid(x)); }
};

// x * sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)), which is the tanh form of GELU
// (Hendrycks and Gimpel, arXiv:1606.08415).
struct GeluTanh {
  static Vec apply(Vec x) {
    const Vec inner = mul(x, fma(mul(x, x), set(0.044715f), set(1.0f)));
    return mul(x, sigmoid(mul(inner, set(1.5957691216f))));
  }
};

// x / 2 * erfc(-x / sqrt 2); erfc by Abramowitz and Stegun 7.1.26, absolute error below 2e-7.
struct Gelu {
  static Vec apply(Vec x) {
    const Vec a = mul(max(x, sub(zero(), x)), set(0.70710678f));
    const Vec t = div(set(1.0f), fma(a, set(0.3275911f), set(1.0f)));
    Vec p = set(1.061405429f);
    p = fma(p, t, set(-1.453152027f));
    p = fma(p, t, set(1.421413741f));
    p = fma(p, t, set(-0.284496736f));
    p = fma(p, t, set(0.254829592f));
    const Vec tail = mul(mul(p, t), exp(sub(zero(), mul(a, a))));
    const Vec both = where_negative(x, tail, sub(set(2.0f), tail));
    return mul(mul(x, set(0.5f)), both);
  }
};

struct Relu {
  // In this order: where one operand is no number, max gives the second.
  static Vec apply(Vec x) { return max(zero(), x); }
};

template <class Function>
void activate(const float* x, size_t n, float* y) {
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, Function::apply(load(x + i)));
  if (i < n) store_first(y + i, Function::apply(load_first(x + i, n - i)), n - i);
}

template <class Function>
void activate_gated(const float* gate, const float* up, size_t n, float* y) {
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    store(y + i, mul(Function::apply(load(gate + i)), load(up + i)));
  }
  if (i < n) {
    const size_t left = n - i;
    const Vec value = mul(Function::apply(load_first(gate + i, left)), load_first(up + i, left));
    store_first(y + i, value, left);
  }
}

void add_scaled(const float* x, float factor, size_t n, float* y) {
  const Vec f = set(factor);
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, fma(f, load(x + i), load(y + i)));
  if (i < n) {
    const size_t left = n - i;
    store_first(y + i, fma(f, load_first(x + i, left), load_first(y + i, left)), left);
  }
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
