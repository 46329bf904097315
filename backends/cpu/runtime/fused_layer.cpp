// A linear layer and the loop of the neurons behind it, in one pass: the currents of a tile (some ticks, samples and
// neurons) are summed over the events, and the kernel reads them while they are in the cache. One library for
// each NORSE_NUMBER (float, double), for all kernels.
//
// A tile's ticks follow each other with the state that the last one left, so the kernel computes what one call would.
// What a block of neurons gets is written by one task alone, for some samples after the other: results do not depend
// on the number of threads.
#include "event_blocks.h"
#include "norse_kernel.h"
#include "parallel.h"
#include "stream.h"

namespace {

const int64_t tile_rows = 128;
const int64_t tile_samples = 16;  // whose rows are neighbours in memory: ticks are pages apart
const int64_t most_blocks = 4;  // of a task: rows that a kernel runs through are as long
const int64_t least_width = 16;  // so that no two tasks write bits of one byte
const int most_buffers = 64;

}  // namespace

// What is to be run. An output whose buffer has no data is in no memory but a tile's.
struct norse_layer {
  norse_kernel kernel;
  const norse_call* call;  // all ticks, samples and neurons
  int32_t inputs, registers, outputs;  // of the kernel: its buffers are inputs, initial states, outputs, final states
  int32_t currents;  // the input that is the currents
  int32_t spikes, reach;  // outputs whose values are also written as bits, or -1; `reach` is a bool
  int64_t scratch_rows;
  const int32_t *begin, *index;  // events of row tick * samples + sample
  const void* value;
  int64_t width;  // of a row of events: the layer's input features
  const void *weight, *bias;  // [neurons, width], [neurons] or null
  uint8_t *spike_bits, *reach_bits;  // zeros; a row's are bits_stride bytes
  int64_t bits_stride;  // a multiple of 8
};

namespace {

// The memory of a thread: blocks of weights, the tiles of buffers, the kernel's scratch.
struct workspace {
  aligned_memory packed, tiles, scratch;
};

inline workspace& own_workspace() {
  static thread_local workspace memory;
  return memory;
}

// How the work is cut: blocks of `width` neurons, `together` of them in a task, and where there are few, parts of the
// samples.
struct layer_tasks {
  int64_t width, blocks, together, groups, parts, samples, neurons;
  int64_t count() const { return groups * parts; }

  // Calls body(first, count) for the samples of a part, some at a time.
  template <typename Body>
  void for_samples(int64_t part, const Body& body) const {
    const int64_t end = samples * (part + 1) / parts;
    for (int64_t first = samples * part / parts; first < end; first += tile_samples)
      body(first, smaller(tile_samples, end - first));
  }
  int64_t first_block(int64_t group) const { return group * together; }
  int64_t blocks_of(int64_t group) const { return smaller(together, blocks - first_block(group)); }
  int64_t real(int64_t block) const { return smaller(width, neurons - block * width); }
};

template <typename T>
layer_tasks cut_layer(const norse_layer& layer, int64_t threads) {
  const int64_t neurons = layer.call->neurons, samples = layer.call->sample_end;
  const int64_t width = block_width<T>(layer.width, neurons, larger(least_width, lanes<T>::count));
  const int64_t blocks = (neurons + width - 1) / width, bytes = layer.width * width * sizeof(T);
  const int64_t parts = blocks >= 8 ? 1 : smaller((8 + blocks - 1) / blocks, samples);
  const int64_t share = larger(1, blocks * parts / threads), cached = larger(1, (1 << 19) / bytes);
  const int64_t together = smaller(smaller(most_blocks, share), smaller(cached, blocks));
  const int64_t groups = (blocks + together - 1) / together;
  return {width, blocks, together, groups, parts, samples, neurons};
}

// Some blocks of neurons with their tiles: runs the kernel on pieces of a sample's time.
template <typename T>
class tiles {
 public:
  tiles(const norse_layer& layer, const layer_tasks& work, int64_t group, workspace& memory)
      : layer_(layer), call_(*layer.call), first_(work.first_block(group) * work.width),
        width_(work.blocks_of(group) * work.width) {
    const int64_t real = smaller(width_, work.neurons - first_);
    for (int b = 0; b < call_.buffer_count; ++b) buffers_[b] = layer.call->buffers[b];
    call_.buffers = buffers_;
    call_.neuron_begin = first_;
    call_.neuron_end = first_ + real;
    const int64_t row = width_ * 8, scratch = (real * 8 + 63) / 64 * 64;
    tiles_ = (char*)memory.tiles.of((layer.outputs + 1) * tile_rows * row);
    call_.scratch = (char*)memory.scratch.of(layer.scratch_rows * scratch + 64);
    failed = !tiles_ || !call_.scratch;
    tile_bytes_ = tile_rows * row;
  }

  // The first sample's currents at a tick; the next one's are so many values apart.
  T* currents(int64_t tick) const { return (T*)row(layer_.currents, tick, call_.sample_begin); }
  int64_t currents_stride() const { return buffers_[layer_.currents].sample_stride / (int64_t)sizeof(T); }

  void start(int64_t begin, int64_t end) {
    call_.sample_begin = begin;
    call_.sample_end = end;
    for (int r = 0; r < layer_.registers; ++r)
      buffers_[layer_.inputs + r] = layer_.call->buffers[layer_.inputs + r];
  }

  void aim(int64_t begin, int64_t end) {
    call_.tick_begin = begin;
    call_.tick_end = end;
    place(layer_.currents, tiles_);
    for (int b = 0; b < layer_.outputs; ++b) place(output(b), tiles_ + (b + 1) * tile_bytes_);
  }

  void run() {
    layer_.kernel(&call_);
    // The next piece starts from the state that this one has left.
    for (int r = 0; r < layer_.registers; ++r)
      buffers_[layer_.inputs + r] = buffers_[layer_.inputs + layer_.registers + layer_.outputs + r];
  }

  // Writes the tile's outputs to memory, if they have any.
  void store() const {
    for (int b = output(0); b < output(layer_.outputs); ++b) {
      if (!layer_.call->buffers[b].data) continue;
      const int64_t bytes = (call_.neuron_end - first_) * buffers_[b].neuron_stride;
      for (int64_t tick = call_.tick_begin; tick < call_.tick_end; ++tick)
        for (int64_t sample = call_.sample_begin; sample < call_.sample_end; ++sample)
          stream(row_of(layer_.call->buffers[b], tick, sample), row(b, tick, sample), bytes);
    }
  }

  // An output of the tile just run, a bit each.
  template <typename V>
  void pack_bits(int output, uint8_t* bits) const {
    const int64_t real = call_.neuron_end - call_.neuron_begin;
    bool analog = false;
    for (int64_t tick = call_.tick_begin; tick < call_.tick_end; ++tick)
      for (int64_t sample = call_.sample_begin; sample < call_.sample_end; ++sample) {
        const V* values = (const V*)row(output, tick, sample);
        uint8_t* to = bits + (tick * layer_.call->sample_end + sample) * layer_.bits_stride + first_ / 8;
        for (int64_t n = 0; n < real; n += 64) {
          const int count = (int)smaller(64, real - n);
          const uint64_t found = active_bits<V>(values + n, count, analog);
          memcpy(to + n / 8, &found, (count + 7) / 8);
        }
      }
  }

  bool failed;

 private:
  int output(int number) const { return layer_.inputs + layer_.registers + number; }

  char* row(int buffer, int64_t tick, int64_t sample) const { return row_of(buffers_[buffer], tick, sample); }

  char* row_of(const norse_buffer& b, int64_t tick, int64_t sample) const {
    return b.data + tick * b.tick_stride + sample * b.sample_stride + first_ * b.neuron_stride;
  }

  // A buffer that is the tile: kernels address it by tick, sample and neuron as they do memory.
  void place(int number, char* tile) {
    norse_buffer& b = buffers_[number];
    b.neuron_stride = b.element_size;
    b.sample_stride = width_ * b.neuron_stride;
    b.tick_stride = (call_.sample_end - call_.sample_begin) * b.sample_stride;
    b.data = tile - call_.tick_begin * b.tick_stride - call_.sample_begin * b.sample_stride - first_ * b.neuron_stride;
  }

  const norse_layer& layer_;
  norse_call call_;
  norse_buffer buffers_[most_buffers];
  int64_t first_, width_;
  char* tiles_ = nullptr;
  int64_t tile_bytes_ = 0;
};

template <typename T>
int forward(const norse_layer& layer, int64_t threads, gomp_parallel gomp) {
  const layer_tasks work = cut_layer<T>(layer, threads);
  const int64_t ticks = layer.call->tick_end, block = layer.width * work.width;
  const events<T> x = {layer.begin, layer.index, (const T*)layer.value};
  std::atomic<bool> failed{false};
  for_each_task(work.count(), threads, gomp, [&](int64_t task) {
    const int64_t group = task / work.parts, part = task % work.parts;
    const int64_t first = work.first_block(group), blocks = work.blocks_of(group);
    workspace& memory = own_workspace();
    T* packed = (T*)memory.packed.of(blocks * block * sizeof(T));
    tiles<T> tile(layer, work, group, memory);
    if (!packed || tile.failed) {
      failed = true;
      return;
    }
    for (int64_t b = 0; b < blocks; ++b)
      pack((const T*)layer.weight, layer.width, (first + b) * work.width, work.neurons, work.width, packed + b * block);
    work.for_samples(part, [&](int64_t sample, int64_t count) {
      const int64_t length = tile_rows / count;
      tile.start(sample, sample + count);
      for (int64_t begin = 0; begin < ticks; begin += length) {
        const int64_t end = smaller(begin + length, ticks);
        tile.aim(begin, end);
        for (int64_t b = 0; b < blocks; ++b) {
          const T* bias = layer.bias ? (const T*)layer.bias + (first + b) * work.width : nullptr;
          for (int64_t tick = begin; tick < end; ++tick) {
            const row_range rows = {tick * work.samples + sample, count};
            T* to = tile.currents(tick) + b * work.width;
            NORSE_OF_WIDTH(gather_block, work.width, x, rows, packed + b * block, bias, to, tile.currents_stride(),
                           work.real(first + b))
          }
        }
        tile.run();
        tile.store();
        if (layer.spikes >= 0) tile.template pack_bits<T>(layer.spikes, layer.spike_bits);
        if (layer.reach >= 0) tile.template pack_bits<bool>(layer.reach, layer.reach_bits);
      }
    });
    streamed();
  });
  return failed ? 3 : 0;
}

}  // namespace

// Returns 0, or 1: another version of the structs, 3: no memory, 4: more buffers than there is room for.
extern "C" int norse_layer_forward(const norse_layer* layer, int64_t threads, gomp_parallel gomp) {
  if (layer->call->version != NORSE_KERNEL_VERSION) return 1;
  return layer->call->buffer_count > most_buffers ? 4 : forward<NORSE_NUMBER>(*layer, threads, gomp);
}

// begin[r + 1] = events up to row r. Returns how many there are.
extern "C" int64_t norse_count_bits(const uint8_t* bits, int64_t stride, int64_t rows, int32_t* begin) {
  int64_t sum = begin[0] = 0;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t byte = 0; byte < stride; byte += 8) {
      uint64_t word;
      memcpy(&word, bits + row * stride + byte, 8);
      sum += __builtin_popcountll(word);
    }
    if (sum > INT32_MAX - 64) return -1;
    begin[row + 1] = (int32_t)sum;
  }
  return sum;
}

// The places of the bits, row after row.
extern "C" void norse_list_bits(const uint8_t* bits, int64_t stride, int64_t rows, const int32_t* begin, int32_t* index,
                                int64_t threads, gomp_parallel gomp) {
  const int64_t tasks = smaller(rows, 64);
  for_each_task(tasks, threads, gomp, [&](int64_t task) {
    const int64_t first = rows * task / tasks, end = rows * (task + 1) / tasks;
    for (int64_t row = first; row < end; ++row)
      list_row((const uint64_t*)(bits + row * stride), stride / 8, index + begin[row], index + begin[end]);
  });
}
