// What events add to a block of neurons, whose weights, transposed, lie one row an input: packed[k, n], n < width.
#pragma once

#include <cstring>

#include "blocks.h"
#include "events.h"

namespace {

// out[r, n] = bias[n] + sum over active k of x[r, k] W[n, k]: the sums of a row stay in registers.
template <typename T, int Vectors>
void gather_block(const events<T>& x, row_range rows, const T* packed, const T* bias, T* out, int64_t out_stride,
                  int64_t real) {
  typedef typename lanes<T>::type vector;
  const int64_t width = Vectors * lanes<T>::count;
  vector start[Vectors] = {};
  if (bias) memcpy(start, bias, real * sizeof(T));
  for (int64_t r = 0, row = rows.first; r < rows.count; ++r, ++row) {
    vector sum[Vectors];
    for (int j = 0; j < Vectors; ++j) sum[j] = start[j];
    const int32_t last = x.begin[row + 1];
    for (int32_t e = x.begin[row]; e < last; ++e) {
      const vector* w = (const vector*)(packed + x.index[e] * width);
      if (x.value) {
        const T value = x.value[e];
        for (int j = 0; j < Vectors; ++j) sum[j] += value * w[j];
      } else {
        for (int j = 0; j < Vectors; ++j) sum[j] += w[j];
      }
    }
    T* to = out + r * out_stride;
    if (real == width)
      for (int j = 0; j < Vectors; ++j) ((vector*)to)[j] = sum[j];
    else
      memcpy(to, sum, real * sizeof(T));
  }
}

// packed[k, n] += sum over rows r in which k is active of g[r, n] x[r, k].
template <typename T, int Vectors>
void outer_block(const events<T>& x, row_range rows, const T* grad, int64_t grad_stride, T* packed, int64_t real) {
  typedef typename lanes<T>::type vector;
  const int64_t width = Vectors * lanes<T>::count;
  vector g[Vectors] = {};
  for (int64_t r = 0, row = rows.first; r < rows.count; ++r, ++row) {
    const int32_t last = x.begin[row + 1];
    if (x.begin[row] == last) continue;
    memcpy(g, grad + r * grad_stride, real * sizeof(T));
    for (int32_t e = x.begin[row]; e < last; ++e) {
      vector* w = (vector*)(packed + x.index[e] * width);
      if (x.value) {
        const T value = x.value[e];
        for (int j = 0; j < Vectors; ++j) w[j] += value * g[j];
      } else {
        for (int j = 0; j < Vectors; ++j) w[j] += g[j];
      }
    }
  }
}

const int widest_block = 64;

// So many vectors, or 1 where no block is as wide: what is never run is not compiled.
template <typename T>
constexpr int vectors_of(int wanted) {
  return wanted * lanes<T>::count <= widest_block ? wanted : 1;
}

// Calls `function<T, Vectors>` for the width of a block.
#define NORSE_OF_WIDTH(function, width, ...)                            \
  switch ((width) / lanes<T>::count) {                                  \
    case 1: function<T, 1>(__VA_ARGS__); break;                         \
    case 2: function<T, vectors_of<T>(2)>(__VA_ARGS__); break;          \
    case 4: function<T, vectors_of<T>(4)>(__VA_ARGS__); break;          \
    case 8: function<T, vectors_of<T>(8)>(__VA_ARGS__); break;          \
    case 16: function<T, vectors_of<T>(16)>(__VA_ARGS__); break;        \
    default: function<T, vectors_of<T>(32)>(__VA_ARGS__); break;        \
  }

// The width of a block: 64, or less for few neurons, or where the weights of so many inputs would leave the cache.
template <typename T>
int64_t block_width(int64_t inputs, int64_t neurons, int64_t least) {
  const int64_t cache = 1 << 20;
  int64_t width = widest_block;
  while (width > least && (width / 2 >= neurons || inputs * width * (int64_t)sizeof(T) > cache)) width /= 2;
  return width;
}

}  // namespace
