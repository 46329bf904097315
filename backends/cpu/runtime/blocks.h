// Synapses that are computed by blocks of output neurons: the events they read, their memory, their weights' order.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "lanes.h"
#include "transpose.h"

namespace {

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// The events of a matrix: those of row r are at begin[r] .. begin[r + 1]. `value` is null where all are one.
template <typename T>
struct events {
  const int32_t* begin;
  const int32_t* index;
  const T* value;
};

// Some rows, one after the other; or ticks, samples, neurons.
struct row_range {
  int64_t first, count;
};

struct aligned_memory {
  void* data = nullptr;
  size_t size = 0;
  ~aligned_memory() { free(data); }
  void* of(size_t bytes) {
    if (bytes > size) {
      free(data);
      data = nullptr;
      size = posix_memalign(&data, 64, bytes) ? 0 : bytes;
    }
    return size ? data : nullptr;
  }
};

// Each thread's memory for a block, kept: to get it anew from the system for every call costs more than a small call.
inline aligned_memory& block_memory() {
  static thread_local aligned_memory memory;
  return memory;
}

// A block's weights W[first + n, k] as packed[k, n], n < width; neurons that don't exist are zero.
template <typename T>
void pack(const T* weight, int64_t inputs, int64_t first, int64_t neurons, int64_t width, T* packed) {
  to_pixels(weight + first * inputs, inputs, smaller(width, neurons - first), packed, width, inputs);
}

template <typename T>
void unpack(const T* packed, int64_t inputs, int64_t first, int64_t neurons, int64_t width, T* weight) {
  to_planes(packed, width, inputs, weight + first * inputs, inputs, smaller(width, neurons - first));
}

}  // namespace
