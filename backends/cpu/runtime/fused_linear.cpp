// A linear layer and the loop of the neurons behind it, in one pass: the currents of a tile (some ticks, samples and
// neurons) are summed over the events, and the kernel reads them while they are in the cache. One library for
// each NORSE_NUMBER (float, double), for all kernels.
//
// What a block of neurons gets is written by one task alone, for some samples after the other: results do not depend
// on the number of threads.
#include "event_blocks.h"
#include "parallel.h"
#include "tiles.h"

namespace {

const int64_t tile_rows = 128;
const int64_t tile_samples = 16;  // whose rows are neighbours in memory: ticks are pages apart
const int64_t most_blocks = 4;  // of a task: rows that a kernel runs through are as long

}  // namespace

// What is to be run.
struct norse_layer {
  norse_loop loop;
  const int32_t *begin, *index;  // events of row tick * samples + sample
  const void *value, *weight, *bias;  // weight [neurons, width], bias [neurons] or null
  int64_t width;  // of a row of events: the layer's input features
};

namespace {

// How the work is cut: blocks of `width` neurons, `together` of them in a task, and where there are few, parts of the
// samples.
struct layer_tasks {
  int64_t width, blocks, together, groups, parts, samples, neurons;
  int64_t count() const { return groups * parts; }

  // Calls body(samples) for those of a part, some at a time.
  template <typename Body>
  void for_samples(int64_t part, const Body& body) const {
    const int64_t end = samples * (part + 1) / parts;
    for (int64_t first = samples * part / parts; first < end; first += tile_samples)
      body(row_range{first, smaller(tile_samples, end - first)});
  }
  int64_t first_block(int64_t group) const { return group * together; }
  int64_t blocks_of(int64_t group) const { return smaller(together, blocks - first_block(group)); }
  int64_t real(int64_t block) const { return smaller(width, neurons - block * width); }
};

template <typename T>
layer_tasks cut_layer(const norse_layer& layer, int64_t threads) {
  const int64_t neurons = layer.loop.call->neurons, samples = layer.loop.call->sample_end;
  const int64_t width = block_width<T>(layer.width, neurons, lanes<T>::count);
  const int64_t blocks = (neurons + width - 1) / width, bytes = layer.width * width * sizeof(T);
  const int64_t parts = blocks >= 8 ? 1 : smaller((8 + blocks - 1) / blocks, samples);
  const int64_t share = larger(1, blocks * parts / threads), cached = larger(1, (1 << 19) / bytes);
  const int64_t together = smaller(smaller(most_blocks, share), smaller(cached, blocks));
  const int64_t groups = (blocks + together - 1) / together;
  return {width, blocks, together, groups, parts, samples, neurons};
}

template <typename T>
int forward(const norse_layer& layer, int64_t threads, gomp_parallel gomp) {
  const layer_tasks work = cut_layer<T>(layer, threads);
  const int64_t ticks = layer.loop.call->tick_end, block = layer.width * work.width;
  const events<T> x = {layer.begin, layer.index, (const T*)layer.value};
  std::atomic<bool> failed{false};
  for_each_task(work.count(), threads, gomp, [&](int64_t task) {
    const int64_t group = task / work.parts, part = task % work.parts;
    const int64_t first = work.first_block(group), blocks = work.blocks_of(group), row = blocks * work.width;
    workspace& memory = own_workspace();
    T* packed = (T*)memory.packed.of(blocks * block * sizeof(T));
    T* currents = (T*)memory.currents.of(tile_rows * row * sizeof(T));
    tiles<T> tile(layer.loop, tile_rows, row, memory);
    if (!packed || !currents || tile.failed) {
      failed = true;
      return;
    }
    for (int64_t b = 0; b < blocks; ++b)
      pack((const T*)layer.weight, layer.width, (first + b) * work.width, work.neurons, work.width, packed + b * block);
    const row_range neurons = {first * work.width, smaller(row, work.neurons - first * work.width)};
    work.for_samples(part, [&](row_range samples) {
      const int64_t length = tile_rows / samples.count;
      for (int64_t begin = 0; begin < ticks; begin += length) {
        const int64_t end = smaller(begin + length, ticks);
        for (int64_t b = 0; b < blocks; ++b) {
          const T* bias = layer.bias ? (const T*)layer.bias + (first + b) * work.width : nullptr;
          for (int64_t tick = begin; tick < end; ++tick) {
            const row_range rows = {tick * work.samples + samples.first, samples.count};
            T* to = currents + (tick - begin) * samples.count * row + b * work.width;
            NORSE_OF_WIDTH(gather_block, work.width, x, rows, packed + b * block, bias, to, row, work.real(first + b))
          }
        }
        tile.run({begin, end - begin}, samples, neurons, currents, samples.count * row, row);
      }
    });
    streamed();
  });
  return failed ? 3 : 0;
}

}  // namespace

// Returns 0, or 1: another version of the structs, 3: no memory, 4: more buffers than there is room for.
extern "C" int norse_layer_forward(const norse_layer* layer, int64_t threads, gomp_parallel gomp) {
  const int why = refused(layer->loop);
  return why ? why : forward<NORSE_NUMBER>(*layer, threads, gomp);
}
