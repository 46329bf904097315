// A convolution and the loop of the neurons behind it, in one pass: the currents of a strip (some rows of pixels of some
// channels) are summed over the events of some ticks, and the kernel reads them while they are in the cache. One library
// for each NORSE_NUMBER (float, double), for all kernels.
//
// A strip of a sample is written by one task alone, through all of its ticks: results do not depend on the number of
// threads.
#include "convolution.h"
#include "parallel.h"
#include "tiles.h"

// What is to be run. A sample of the convolution is a sample of the loop at one tick.
struct norse_fused_convolution {
  norse_loop loop;
  const int32_t *begin, *index;  // events of each row of pixels
  const void *value, *weight, *bias;
  norse_convolution of;
};

namespace {

const int64_t tile_bytes = 1 << 18;  // of currents: with outputs and events, what a core's second cache has

template <typename T>
int forward(const norse_fused_convolution& layer, int64_t threads, gomp_parallel gomp) {
  plan<T> p(layer.of);
  const int64_t samples = layer.loop.call->sample_end, ticks = layer.loop.call->tick_end, plane = p.plane();
  const events<T> x = {layer.begin, layer.index, (const T*)layer.value};
  const int64_t block_size = p.patch * p.width, strip = p.strip_rows * layer.of.out_width;
  const int64_t length = larger(1, smaller(ticks, tile_bytes / strip_size(p)));
  aligned_memory memory;
  const T* packed = pack_kernels(p, (const T*)layer.weight, memory, threads, gomp);
  if (!packed) return 3;
  std::atomic<bool> failed{false};
  for_each_task(samples * p.blocks * p.strips, threads, gomp, [&](int64_t task) {
    const int64_t number = task % p.strips, block = task / p.strips % p.blocks, sample = task / p.strips / p.blocks;
    const int64_t pixels = p.pixels(number), real = p.real(block);
    const int64_t first = p.first(block) * plane + number * strip;
    T* sums = (T*)block_memory().of(strip_size(p));
    T* currents = (T*)own_workspace().currents.of(length * strip_size(p));
    tiles<T> tile(layer.loop, length, strip, own_workspace());
    if (!sums || !currents || tile.failed) {
      failed = true;
      return;
    }
    for (int64_t begin = 0; begin < ticks; begin += length) {
      const int64_t end = smaller(begin + length, ticks);
      for (int64_t tick = begin; tick < end; ++tick) {
        NORSE_OF_BLOCK(forward_strip, p, x, tick * samples + sample, block, number, packed + block * block_size,
                       (const T*)layer.bias, sums)
        to_planes(sums, p.width, pixels, currents + (tick - begin) * real * pixels, pixels, real);
      }
      for (int64_t channel = 0; channel < real; ++channel)
        tile.run({begin, end - begin}, {sample, 1}, {first + channel * plane, pixels}, currents + channel * pixels,
                 real * pixels, 0);
    }
    streamed();
  });
  return failed ? 3 : 0;
}

}  // namespace

// Returns 0, or 1: another version of the structs, 3: no memory, 4: more buffers than there is room for.
extern "C" int norse_convolution_forward(const norse_fused_convolution* layer, int64_t threads, gomp_parallel gomp) {
  const int why = refused(layer->loop);
  return why ? why : forward<NORSE_NUMBER>(*layer, threads, gomp);
}
