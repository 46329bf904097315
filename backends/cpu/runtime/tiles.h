// Runs a loop's kernel on pieces of time whose currents are in the cache, and brings what it gives to where it is wanted:
// past the caches to memory, as a bit a neuron to whom reads spikes, or nowhere.
//
// Pieces follow each other with the state that the last one left, so the kernel computes what one call would.
#pragma once

#include "blocks.h"
#include "events.h"
#include "norse_kernel.h"
#include "stream.h"

extern "C" {
// The loop behind a layer. An output whose buffer has no data is in no memory but a tile's.
struct norse_loop {
  norse_kernel kernel;
  const norse_call* call;  // all ticks, samples and neurons
  int32_t inputs, registers, outputs;  // of the kernel: its buffers are inputs, initial states, outputs, final states
  int32_t currents;  // the input that is the currents
  int32_t spikes, reach;  // outputs whose values are also written as bits, or -1; `reach` is a bool
  int64_t scratch_rows;
  uint64_t *spike_bits, *reach_bits;  // zeros; a row (tick, sample) has bits_stride words
  int64_t bits_stride;
};
}

namespace {

const int most_buffers = 64;

// Sets bits of a row from place `at` on. Words are this thread's own but for the first and the last, of which others may
// write the other bits at the same time.
template <typename V>
void put_bits(const V* values, int64_t count, uint64_t* row, int64_t at) {
  bool analog = false;
  const int64_t head = smaller(count, -at & 63);
  auto share = [&](int64_t from, int64_t bits) {
    const uint64_t found = active_bits<V>(values + from, (int)bits, analog);
    __atomic_fetch_or(row + (at + from) / 64, found << ((at + from) & 63), __ATOMIC_RELAXED);
  };
  if (head) share(0, head);
  int64_t done = head;
  for (; done + 64 <= count; done += 64) row[(at + done) / 64] = active_bits<V>(values + done, 64, analog);
  if (done < count) share(done, count - done);
}

// The memory of a thread: weights and currents, the tiles of outputs, the kernel's scratch.
struct workspace {
  aligned_memory packed, currents, tiles, scratch;
};

inline workspace& own_workspace() {
  static thread_local workspace memory;
  return memory;
}

template <typename T>
class tiles {
 public:
  // For pieces of so many rows (ticks times samples) of so many neurons.
  tiles(const norse_loop& loop, int64_t rows, int64_t width, workspace& memory) : loop_(loop), call_(*loop.call) {
    for (int b = 0; b < call_.buffer_count; ++b) buffers_[b] = loop.call->buffers[b];
    call_.buffers = buffers_;
    width_ = width;
    tile_bytes_ = rows * width * 8;
    tiles_ = (char*)memory.tiles.of(loop.outputs * tile_bytes_ + 64);
    call_.scratch = (char*)memory.scratch.of(loop.scratch_rows * ((width * 8 + 63) / 64 * 64) + 64);
    failed = !tiles_ || !call_.scratch;
  }

  // Runs the kernel on a piece, the first one from the initial states. The currents of a tick and of a sample are so
  // many values apart.
  void run(row_range ticks, row_range samples, row_range neurons, const T* currents, int64_t tick_stride,
           int64_t sample_stride) {
    call_.tick_begin = ticks.first;
    call_.tick_end = ticks.first + ticks.count;
    call_.sample_begin = samples.first;
    call_.sample_end = samples.first + samples.count;
    call_.neuron_begin = neurons.first;
    call_.neuron_end = neurons.first + neurons.count;
    place(loop_.currents, (char*)currents, tick_stride * sizeof(T), sample_stride * sizeof(T));
    for (int number = 0; number < loop_.outputs; ++number) {
      const int64_t row = width_ * buffers_[output(number)].element_size;
      place(output(number), tiles_ + number * tile_bytes_, samples.count * row, row);
    }
    for (int r = 0; r < loop_.registers; ++r)
      buffers_[loop_.inputs + r] = loop_.call->buffers[ticks.first ? output(loop_.outputs + r) : loop_.inputs + r];
    loop_.kernel(&call_);
    store();
    if (loop_.spikes >= 0) pack<T>(loop_.spikes, loop_.spike_bits);
    if (loop_.reach >= 0) pack<bool>(loop_.reach, loop_.reach_bits);
  }

  bool failed;

 private:
  int output(int number) const { return loop_.inputs + loop_.registers + number; }

  char* row_of(const norse_buffer& b, int64_t tick, int64_t sample) const {
    return b.data + tick * b.tick_stride + sample * b.sample_stride + call_.neuron_begin * b.neuron_stride;
  }

  // A buffer that is a tile: kernels address it by tick, sample and neuron as they do memory.
  void place(int number, char* tile, int64_t tick_stride, int64_t sample_stride) {
    norse_buffer& b = buffers_[number];
    b.neuron_stride = b.element_size;
    b.tick_stride = tick_stride;
    b.sample_stride = sample_stride;
    b.data = tile - call_.tick_begin * tick_stride - call_.sample_begin * sample_stride -
             call_.neuron_begin * b.neuron_stride;
  }

  template <typename Body>
  void for_each_row(const Body& body) const {
    for (int64_t tick = call_.tick_begin; tick < call_.tick_end; ++tick)
      for (int64_t sample = call_.sample_begin; sample < call_.sample_end; ++sample) body(tick, sample);
  }

  // Writes the tile's outputs to memory, if they have any.
  void store() const {
    for (int b = output(0); b < output(loop_.outputs); ++b) {
      const norse_buffer& memory = loop_.call->buffers[b];
      const int64_t bytes = (call_.neuron_end - call_.neuron_begin) * memory.neuron_stride;
      if (memory.data)
        for_each_row([&](int64_t tick, int64_t sample) {
          stream(row_of(memory, tick, sample), row_of(buffers_[b], tick, sample), bytes);
        });
    }
  }

  // An output of the tile just run, a bit each.
  template <typename V>
  void pack(int number, uint64_t* bits) const {
    for_each_row([&](int64_t tick, int64_t sample) {
      put_bits((const V*)row_of(buffers_[number], tick, sample), call_.neuron_end - call_.neuron_begin,
               bits + (tick * loop_.call->sample_end + sample) * loop_.bits_stride, call_.neuron_begin);
    });
  }

  const norse_loop& loop_;
  norse_call call_;
  norse_buffer buffers_[most_buffers];
  char* tiles_ = nullptr;
  int64_t width_, tile_bytes_;
};

// 0, or 1: another version of the structs, 4: more buffers than there is room for.
inline int refused(const norse_loop& loop) {
  if (loop.call->version != NORSE_KERNEL_VERSION) return 1;
  return loop.call->buffer_count > most_buffers ? 4 : 0;
}

}  // namespace
