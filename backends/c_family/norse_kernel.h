// The one signature of every kernel, and how it finds its data. A kernel is called with ranges of ticks, samples and
// neurons; calling it on consecutive pieces of time, with the state that it left behind, equals one call.
#pragma once

#include <cstdint>

#define NORSE_KERNEL_VERSION 3

// How a buffer stores its values. Kernels read and write NORSE_ELEMENT; the others are for spikes between layers.
enum norse_storage : int32_t { NORSE_ELEMENT = 0, NORSE_BYTE = 1, NORSE_BIT = 2, NORSE_INDEX = 3 };

struct norse_buffer {
  char* data;
  int64_t tick_stride, sample_stride, neuron_stride;  // in bytes; 0 where broadcast
  int32_t storage;
  int32_t element_size;
};

struct norse_member;

struct norse_call {
  int32_t version;
  int32_t buffer_count;
  const norse_buffer* buffers;  // inputs, initial state, outputs, final state: in the kernel's own order
  int64_t tick_begin, tick_end;
  int64_t sample_begin, sample_end;
  int64_t neuron_begin, neuron_end;
  int64_t neurons;  // of a whole sample
  char* scratch;  // of the calling thread, aligned to 64 bytes
  norse_member* member;  // where threads share the samples' neurons: which of them calls; else null
};

typedef void (*norse_kernel)(const norse_call*);

#ifndef NORSE_FUNCTION
#define NORSE_FUNCTION static inline
#endif
#define NORSE_RESTRICT __restrict__

template <typename T>
NORSE_FUNCTION T* norse_row(const norse_call* call, int buffer, int64_t tick, int64_t sample) {
  const norse_buffer& b = call->buffers[buffer];
  return (T*)(b.data + tick * b.tick_stride + sample * b.sample_stride + call->neuron_begin * b.neuron_stride);
}

// One value, wherever its strides put it.
template <typename T>
NORSE_FUNCTION T& norse_at(const norse_call* call, int buffer, int64_t tick, int64_t sample, int64_t neuron) {
  const norse_buffer& b = call->buffers[buffer];
  return *(T*)(b.data + tick * b.tick_stride + sample * b.sample_stride + neuron * b.neuron_stride);
}

template <typename T>
NORSE_FUNCTION T norse_scalar(const norse_call* call, int buffer) {
  return *(const T*)call->buffers[buffer].data;
}
