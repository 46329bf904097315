// A register's worth of numbers, as the machine has them.
#pragma once

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
const int lane_bytes = 64;
#elif defined(__AVX2__)
const int lane_bytes = 32;
#else
const int lane_bytes = 16;
#endif

template <typename T>
struct lanes {
  typedef T type __attribute__((vector_size(lane_bytes), aligned(sizeof(T)), may_alias));
  static const int count = lane_bytes / sizeof(T);
};

// a * b + c, rounded once where the machine can: for sums whose order is ours anyway.
template <typename Vector>
inline Vector multiply_add(Vector a, Vector b, Vector c) {
  return a * b + c;
}

#if defined(__AVX512F__)
typedef lanes<float>::type floats;
typedef lanes<double>::type doubles;
template <>
inline floats multiply_add(floats a, floats b, floats c) {
  return (floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
template <>
inline doubles multiply_add(doubles a, doubles b, doubles c) {
  return (doubles)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
#elif defined(__AVX2__) && defined(__FMA__)
typedef lanes<float>::type floats;
typedef lanes<double>::type doubles;
template <>
inline floats multiply_add(floats a, floats b, floats c) {
  return (floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
template <>
inline doubles multiply_add(doubles a, doubles b, doubles c) {
  return (doubles)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
#endif

}  // namespace
