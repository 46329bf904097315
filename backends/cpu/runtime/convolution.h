// The events of a convolution and what they reach: how outputs are cut into blocks of channels and strips of rows, and
// what an event adds to them, or they to its weights.
//
// Output channels are cut into blocks of one or two vectors, kept beside each other: an event is then a sum of vectors
// for each place of the kernel. Outputs are cut into strips of whole rows that stay in the first cache. An input row
// (sample, channel, y) has its own events, so that a strip reads those that reach it.
#pragma once

#include <cstring>
#include <vector>

#include "blocks.h"
#include "norse_kernel.h"
#include "parallel.h"
#include "transpose.h"

extern "C" {
// All sizes of a convolution; `channels` and `outputs` are those of one group.
struct norse_convolution {
  int64_t samples, groups, channels, outputs, height, width, out_height, out_width, kernel_height, kernel_width,
      stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x;
};
}

namespace {

// Along one axis: which outputs each input reaches, and through which place of the kernel.
struct reach {
  struct pair {
    int32_t kernel, out;
  };
  std::vector<int32_t> begin;
  std::vector<pair> pairs;

  reach(int64_t size, int64_t kernel, int64_t out, int64_t stride, int64_t padding, int64_t dilation, int64_t scale) {
    begin.push_back(0);
    for (int64_t x = 0; x < size; ++x) {
      for (int64_t k = 0; k < kernel; ++k) {
        const int64_t at = x + padding - k * dilation;
        if (at >= 0 && at % stride == 0 && at / stride < out)
          pairs.push_back({(int32_t)(k * scale), (int32_t)(at / stride * scale)});
      }
      begin.push_back((int32_t)pairs.size());
    }
  }
};

// How the work is cut. A block never has channels of two groups.
template <typename T>
struct plan {
  norse_convolution c;
  int64_t width, blocks_a_group, blocks, patch, strip_rows, strips;
  reach y, x;

  explicit plan(const norse_convolution& of)
      : c(of),
        width(block_width(of)),
        blocks_a_group((of.outputs + width - 1) / width),
        blocks(blocks_a_group * of.groups),
        patch(of.channels * of.kernel_height * of.kernel_width),
        strip_rows(larger(1, smaller(of.out_height, strip_bytes / (of.out_width * width * (int64_t)sizeof(T))))),
        strips((of.out_height + strip_rows - 1) / strip_rows),
        y(of.height, of.kernel_height, of.out_height, of.stride_y, of.padding_y, of.dilation_y, 1),
        x(of.width, of.kernel_width, of.out_width, of.stride_x, of.padding_x, of.dilation_x, width) {}

  static const int64_t strip_bytes = 1 << 15;

  static int64_t block_width(const norse_convolution& c) {
    return c.outputs > lanes<T>::count ? 2 * lanes<T>::count : lanes<T>::count;
  }

  int64_t first(int64_t block) const {  // among the channels of all groups
    return block / blocks_a_group * c.outputs + block % blocks_a_group * width;
  }
  int64_t real(int64_t block) const { return smaller(width, c.outputs - block % blocks_a_group * width); }
  int64_t plane() const { return c.out_height * c.out_width; }
  int64_t pixels(int64_t strip) const {
    return (smaller(c.out_height, (strip + 1) * strip_rows) - strip * strip_rows) * c.out_width;
  }
};

// A loop over all that reaches a strip of a sample. For events that reach outputs through all of a kernel of 3 x 3,
// which most do, a body may keep the kernel's vectors in registers as long as the channel lasts.
template <typename T, typename Body>
inline void for_each_contact(const plan<T>& p, const events<T>& x, int64_t sample, int64_t block, int64_t strip,
                             Body& body) {
  const norse_convolution& c = p.c;
  const int64_t group = block / p.blocks_a_group, begin = strip * p.strip_rows;
  const int64_t end = smaller(c.out_height, begin + p.strip_rows), row_size = c.out_width * p.width;
  const int64_t top = larger(0, begin * c.stride_y - c.padding_y);
  const int64_t bottom =
      smaller(c.height, (end - 1) * c.stride_y - c.padding_y + (c.kernel_height - 1) * c.dilation_y + 1);
  const reach::pair *x_pairs = p.x.pairs.data(), *y_pairs = p.y.pairs.data();
  const int32_t *x_begin = p.x.begin.data(), *index = x.index;
  for (int64_t channel = 0; channel < c.channels; ++channel) {
    const int32_t* rows = x.begin + ((sample * c.groups + group) * c.channels + channel) * c.height;
    if (top >= bottom || rows[top] == rows[bottom]) continue;
    const int64_t weights = channel * c.kernel_height * c.kernel_width * p.width;
    body.begin(weights);
    for (int64_t y = top; y < bottom; ++y) {
      const int32_t first = rows[y], last = rows[y + 1];
      if (first == last) continue;
      const reach::pair *to = y_pairs + p.y.begin[y], *to_end = y_pairs + p.y.begin[y + 1];
      while (to < to_end && to->out >= end) ++to;  // a kernel's later places reach earlier rows
      while (to < to_end && to_end[-1].out < begin) --to_end;
      const bool all_rows = Body::in_registers && to_end - to == 3;
      const int64_t step_y = all_rows ? (to[1].out - to[0].out) * row_size : 0;
      for (int32_t e = first; e < last; ++e) {
        const reach::pair *i = x_pairs + x_begin[index[e]], *stop = x_pairs + x_begin[index[e] + 1];
        if (all_rows && stop - i == 3) {
          body.all(e, (to->out - begin) * row_size + i->out, step_y, i[1].out - i[0].out);
          continue;
        }
        for (const reach::pair* row = to; row < to_end; ++row)
          for (const reach::pair* at = i; at < stop; ++at)
            body.one(e, weights + row->kernel * c.kernel_width * p.width + at->kernel,
                     (row->out - begin) * row_size + at->out);
      }
    }
    body.end(weights);
  }
}

// to += value * from, or from itself where all events are one.
template <bool Analog, typename Vector, typename T>
inline void add(Vector& to, T value, const Vector& from) {
  if (Analog)
    to = multiply_add(value - Vector{}, from, to);
  else
    to += from;
}

template <typename T, int Vectors, bool Analog, bool Registers>
struct outputs_of {
  typedef typename lanes<T>::type vector;
  static const bool in_registers = Registers;
  const T *value, *weight;
  T* sums;
  vector kernel[Registers ? 9 * Vectors : 1];

  void begin(int64_t weights) {
    if (Registers)
#pragma GCC unroll 18
      for (int k = 0; k < 9 * Vectors; ++k) kernel[k] = ((const vector*)(weight + weights))[k];
  }
  void one(int32_t event, int64_t weights, int64_t outputs) {
    const T v = Analog ? value[event] : 1;
    for (int j = 0; j < Vectors; ++j)
      add<Analog>(((vector*)(sums + outputs))[j], v, ((const vector*)(weight + weights))[j]);
  }
  void all(int32_t event, int64_t outputs, int64_t step_y, int64_t step_x) {
    const T v = Analog ? value[event] : 1;
#pragma GCC unroll 3
    for (int y = 0; y < 3; ++y)
#pragma GCC unroll 3
      for (int x = 0; x < 3; ++x)
#pragma GCC unroll 2
        for (int j = 0; j < Vectors; ++j)
          add<Analog>(((vector*)(sums + outputs + y * step_y + x * step_x))[j], v, kernel[(y * 3 + x) * Vectors + j]);
  }
  void end(int64_t) {}
};

template <typename T, int Vectors, bool Analog, bool Registers>
struct weights_of {
  typedef typename lanes<T>::type vector;
  static const bool in_registers = Registers;
  const T *value, *grad;
  T* sums;
  vector kernel[Registers ? 9 * Vectors : 1];

  void begin(int64_t) {
    if (Registers)
#pragma GCC unroll 18
      for (int k = 0; k < 9 * Vectors; ++k) kernel[k] = vector{};
  }
  void one(int32_t event, int64_t weights, int64_t outputs) {
    const T v = Analog ? value[event] : 1;
    for (int j = 0; j < Vectors; ++j)
      add<Analog>(((vector*)(sums + weights))[j], v, ((const vector*)(grad + outputs))[j]);
  }
  void all(int32_t event, int64_t outputs, int64_t step_y, int64_t step_x) {
    const T v = Analog ? value[event] : 1;
#pragma GCC unroll 3
    for (int y = 0; y < 3; ++y)
#pragma GCC unroll 3
      for (int x = 0; x < 3; ++x)
#pragma GCC unroll 2
        for (int j = 0; j < Vectors; ++j)
          add<Analog>(kernel[(y * 3 + x) * Vectors + j], v,
                      ((const vector*)(grad + outputs + y * step_y + x * step_x))[j]);
  }
  void end(int64_t weights) {
    if (Registers)
#pragma GCC unroll 18
      for (int k = 0; k < 9 * Vectors; ++k) ((vector*)(sums + weights))[k] += kernel[k];
  }
};

// `read` is what a body multiplies the events with.
template <typename T, int Vectors, template <typename, int, bool, bool> class Body>
void add_events(const plan<T>& p, const events<T>& x, int64_t sample, int64_t block, int64_t strip, const T* read,
                T* sums) {
  const bool registers = p.c.kernel_height == 3 && p.c.kernel_width == 3;
  auto run = [&](auto body) { for_each_contact(p, x, sample, block, strip, body); };
  if (registers && x.value)
    run(Body<T, Vectors, true, true>{x.value, read, sums, {}});
  else if (registers)
    run(Body<T, Vectors, false, true>{x.value, read, sums, {}});
  else if (x.value)
    run(Body<T, Vectors, true, false>{x.value, read, sums, {}});
  else
    run(Body<T, Vectors, false, false>{x.value, read, sums, {}});
}

template <typename T, int Vectors>
void forward_strip(const plan<T>& p, const events<T>& x, int64_t sample, int64_t block, int64_t strip, const T* weight,
                   const T* bias, T* sums) {
  typedef typename lanes<T>::type vector;
  const int64_t pixels = p.pixels(strip);
  vector start[Vectors] = {};
  if (bias) memcpy(start, bias + p.first(block), p.real(block) * sizeof(T));
  for (int64_t pixel = 0; pixel < pixels; ++pixel)
    for (int j = 0; j < Vectors; ++j) ((vector*)sums)[pixel * Vectors + j] = start[j];
  add_events<T, Vectors, outputs_of>(p, x, sample, block, strip, weight, sums);
}

template <typename T, int Vectors>
void weights_strip(const plan<T>& p, const events<T>& x, int64_t sample, int64_t block, int64_t strip, const T* grad,
                   T* sums) {
  add_events<T, Vectors, weights_of>(p, x, sample, block, strip, grad, sums);
}

// Calls `function<T, Vectors>` for the width of a block.
#define NORSE_OF_BLOCK(function, ...)                  \
  if (p.width == lanes<T>::count)                      \
    function<T, 1>(__VA_ARGS__);                       \
  else                                                 \
    function<T, 2>(__VA_ARGS__);

template <typename T>
int64_t strip_size(const plan<T>& p) {
  return p.strip_rows * p.c.out_width * p.width * sizeof(T);
}

// The kernels of all blocks, in a block's order one after the other; null where there is no memory.
template <typename T>
const T* pack_kernels(const plan<T>& p, const T* weight, aligned_memory& memory, int64_t threads, gomp_parallel gomp) {
  const int64_t block_size = p.patch * p.width;
  T* packed = (T*)memory.of(p.blocks * block_size * sizeof(T));
  if (packed)
    for_each_task(p.blocks, p.blocks * block_size < 1 << 15 ? 1 : threads, gomp, [&](int64_t block) {
      pack(weight, p.patch, p.first(block), p.first(block) + p.real(block), p.width, packed + block * block_size);
    });
  return packed;
}

}  // namespace
