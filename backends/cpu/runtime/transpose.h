// Turns squares of numbers, a register wide: from channels beside each other to pixels beside each other, and back;
// the same from the inputs of a neuron beside each other to neurons beside each other.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "lanes.h"

namespace {

#if defined(__clang__) || __GNUC__ >= 12
#define NORSE_SHUFFLES 1
template <typename Vector, int Lanes, int... I>
inline void interleave(Vector a, Vector b, Vector& low, Vector& high, std::integer_sequence<int, I...>) {
  low = __builtin_shufflevector(a, b, (I / 2 + I % 2 * Lanes)...);
  high = __builtin_shufflevector(a, b, (Lanes / 2 + I / 2 + I % 2 * Lanes)...);
}
#endif

// square[i][j] becomes square[j][i]: each of log2(lanes) rounds interleaves the first half's rows with the second's.
template <typename T>
inline void transpose(typename lanes<T>::type* square) {
  typedef typename lanes<T>::type vector;
  const int count = lanes<T>::count;
#if defined(NORSE_SHUFFLES)
  vector other[count];
#pragma GCC unroll 4
  for (int round = 1; round < count; round *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < count / 2; ++i)
      interleave<vector, count>(square[i], square[i + count / 2], other[2 * i], other[2 * i + 1],
                                std::make_integer_sequence<int, count>());
#pragma GCC unroll 16
    for (int i = 0; i < count; ++i) square[i] = other[i];
  }
#else
  for (int i = 0; i < count; ++i)
    for (int j = 0; j < i; ++j) {
      const T value = square[i][j];
      square[i][j] = square[j][i];
      square[j][i] = value;
    }
#endif
}

// planes[c * plane + p] = pixels[p * width + c] for as many pixels and channels.
template <typename T>
void to_planes(const T* pixels, int64_t width, int64_t count, T* planes, int64_t plane, int64_t channels) {
  typedef typename lanes<T>::type vector;
  const int lane = lanes<T>::count;
  for (int64_t c = 0; c < channels; c += lane) {
    const int real = (int)(channels - c < lane ? channels - c : lane);
    int64_t p = 0;
    for (; p + lane <= count; p += lane) {
      vector square[lane];
#pragma GCC unroll 16
      for (int i = 0; i < lane; ++i) square[i] = *(const vector*)(pixels + (p + i) * width + c);
      transpose<T>(square);
      T* to = planes + c * plane + p;
      if (real == lane) {
#pragma GCC unroll 16
        for (int i = 0; i < lane; ++i) *(vector*)(to + i * plane) = square[i];
      } else {
        for (int i = 0; i < real; ++i) memcpy(to + i * plane, &square[i], sizeof(vector));
      }
    }
    for (; p < count; ++p)
      for (int i = 0; i < real; ++i) planes[(c + i) * plane + p] = pixels[p * width + c + i];
  }
}

// pixels[p * width + c] = planes[c * plane + p]; channels that don't exist are zero.
template <typename T>
void to_pixels(const T* planes, int64_t plane, int64_t channels, T* pixels, int64_t width, int64_t count) {
  typedef typename lanes<T>::type vector;
  const int lane = lanes<T>::count;
  for (int64_t c = 0; c < width; c += lane) {
    const int real = (int)(channels - c < 0 ? 0 : channels - c < lane ? channels - c : lane);
    int64_t p = 0;
    for (; p + lane <= count; p += lane) {
      vector square[lane];
      const T* from = planes + c * plane + p;
      if (real == lane) {
#pragma GCC unroll 16
        for (int i = 0; i < lane; ++i) square[i] = *(const vector*)(from + i * plane);
      } else {
        for (int i = 0; i < lane; ++i) square[i] = i < real ? *(const vector*)(from + i * plane) : vector{};
      }
      transpose<T>(square);
#pragma GCC unroll 16
      for (int i = 0; i < lane; ++i) *(vector*)(pixels + (p + i) * width + c) = square[i];
    }
    for (; p < count; ++p)
      for (int i = 0; i < lane; ++i) pixels[p * width + c + i] = i < real ? planes[(c + i) * plane + p] : 0;
  }
}

}  // namespace
