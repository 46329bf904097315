// Random numbers from a counter: each is a function of a key and of the place where it's drawn, so it's the same for all
// tiles, threads and pieces of time, and a backward loop draws it again instead of reading it. Philox4x32-10 of J. Salmon
// et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. There are no branches, so loops over neurons vectorise.
#pragma once

#include <cstdint>

#include "arithmetic.h"

struct norse_words {
  uint32_t a, b, c, d;
};

template <int ROUNDS>
NORSE_FUNCTION norse_words norse_philox(norse_words x, uint32_t key0, uint32_t key1) {
  if constexpr (ROUNDS == 0) {
    return x;
  } else {
    const uint64_t p = (uint64_t)0xD2511F53u * x.a, q = (uint64_t)0xCD9E8D57u * x.c;
    const norse_words y = {(uint32_t)(q >> 32) ^ x.b ^ key0, (uint32_t)q, (uint32_t)(p >> 32) ^ x.d ^ key1, (uint32_t)p};
    return norse_philox<ROUNDS - 1>(y, key0 + 0x9E3779B9u, key1 + 0xBB67AE85u);
  }
}

// The words from SLOT on of all that an element (a neuron of a sample) draws at a tick. A draw's words are of one block.
template <int SLOT>
NORSE_FUNCTION norse_words norse_draw(uint64_t key, int64_t tick, int64_t element) {
  const norse_words x = norse_philox<10>(
      {(uint32_t)element, (uint32_t)((uint64_t)element >> 32), (uint32_t)tick, (uint32_t)(SLOT / 4)}, (uint32_t)key,
      (uint32_t)(key >> 32));
  if constexpr (SLOT % 4 == 0) return x;
  if constexpr (SLOT % 4 == 1) return {x.b, x.c, x.d, 0};
  if constexpr (SLOT % 4 == 2) return {x.c, x.d, 0, 0};
  return {x.d, 0, 0, 0};
}

// ---- uniform in [0, 1): multiples of 2^-24 and 2^-53, as torch.rand's ----
// Words become signed numbers first, for which processors have vector instructions.

NORSE_FUNCTION float norse_uniform(norse_words x, float) { return (float)(int32_t)(x.a >> 8) * 0x1p-24f; }

NORSE_FUNCTION double norse_uniform(norse_words x, double) {
  return ((int32_t)(x.a >> 5) * 0x1p26 + (int32_t)(x.b >> 6)) * 0x1p-53;
}

// ---- normal, by G. Box and M. Muller, "A note on the generation of random normal deviates", Ann. Math. Stat. 29 (1958):
// sqrt(-2 log u) cos(2 pi v). Series of + - * / alone, so that CPUs and GPUs have the same bits. ----

// u = 2^k m with m in [sqrt(1/2), sqrt(2)), of normal numbers.
NORSE_FUNCTION float norse_split(float u, float* m) {
  union {
    float number;
    uint32_t bits;
  } x = {u};
  const uint32_t shifted = x.bits + (0x3f800000u - 0x3f3504f3u);
  x.bits = (shifted & 0x007fffffu) + 0x3f3504f3u;
  *m = x.number;
  return (float)((int32_t)(shifted >> 23) - 127);
}

NORSE_FUNCTION double norse_split(double u, double* m) {
  union {
    double number;
    uint64_t bits;
  } x = {u};
  const uint64_t shifted = x.bits + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
  x.bits = (shifted & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu;
  *m = x.number;
  return (double)((int32_t)(shifted >> 52) - 1023);
}

// log(2^k m) = k log 2 + 2 artanh(s) with s = (m - 1) / (m + 1) in [-0.172, 0.172]
template <typename T>
NORSE_FUNCTION T norse_log_of_uniform(T u) {
  T m;
  const T k = norse_split(u, &m), s = (m - 1) / (m + 1), y = s * s;
  T sum = 0;
  if constexpr (sizeof(T) == 8) {
    sum = y * (T)(1.0 / 19);
    sum = y * ((T)(1.0 / 17) + sum);
    sum = y * ((T)(1.0 / 15) + sum);
    sum = y * ((T)(1.0 / 13) + sum);
    sum = y * ((T)(1.0 / 11) + sum);
  }
  sum = y * ((T)(1.0 / 9) + sum);
  sum = y * ((T)(1.0 / 7) + sum);
  sum = y * ((T)(1.0 / 5) + sum);
  sum = y * ((T)(1.0 / 3) + sum);
  return k * (T)0.69314718055994530942 + 2 * (s + s * sum);
}

// cos(quarter pi / 2 + x) for x in [-pi/4, pi/4], by Taylor's series
template <typename T>
NORSE_FUNCTION T norse_cosine(uint32_t quarter, T x) {
  const T y = x * x;
  T even = 1, odd = 1;
  if constexpr (sizeof(T) == 8) {
    even = 1 - y * (T)(1.0 / (15 * 16)) * even;
    even = 1 - y * (T)(1.0 / (13 * 14)) * even;
    even = 1 - y * (T)(1.0 / (11 * 12)) * even;
    odd = 1 - y * (T)(1.0 / (14 * 15)) * odd;
    odd = 1 - y * (T)(1.0 / (12 * 13)) * odd;
    odd = 1 - y * (T)(1.0 / (10 * 11)) * odd;
  }
  even = 1 - y * (T)(1.0 / (9 * 10)) * even;
  even = 1 - y * (T)(1.0 / (7 * 8)) * even;
  even = 1 - y * (T)(1.0 / (5 * 6)) * even;
  even = 1 - y * (T)(1.0 / (3 * 4)) * even;
  even = 1 - y * (T)(1.0 / 2) * even;
  odd = 1 - y * (T)(1.0 / (8 * 9)) * odd;
  odd = 1 - y * (T)(1.0 / (6 * 7)) * odd;
  odd = 1 - y * (T)(1.0 / (4 * 5)) * odd;
  odd = 1 - y * (T)(1.0 / (2 * 3)) * odd;
  const T size = quarter & 1 ? x * odd : even;
  return (quarter + 1) & 2 ? -size : size;
}

// u from 2^-32 or 2^-54 to 1: no farther from 0 than 6.7 or 8.7. v has 32 or 63 bits.
NORSE_FUNCTION float norse_normal(norse_words x, float) {
  const float u = ((float)(int32_t)(x.a >> 1) + 0.5f) * 0x1p-31f;
  const uint32_t turned = x.b + 0x20000000u;
  const float v = (float)((int32_t)(turned & 0x3fffffffu) - 0x20000000);
  return norse_sqrt(-2 * norse_log_of_uniform(u)) * norse_cosine(turned >> 30, v * (float)(6.28318530717958647692 * 0x1p-32));
}

NORSE_FUNCTION double norse_normal(norse_words x, double) {
  const double u = norse_uniform(x, 0.0) + 0x1p-54;
  const uint32_t turned = x.c + 0x20000000u;
  const double v = (int32_t)(turned & 0x3fffffffu) - 0x20000000 + (int32_t)(x.d >> 1) * 0x1p-31;
  return norse_sqrt(-2 * norse_log_of_uniform(u)) * norse_cosine(turned >> 30, v * (6.28318530717958647692 * 0x1p-32));
}
