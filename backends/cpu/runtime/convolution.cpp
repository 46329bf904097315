// Event-driven convolutions: what an input event adds to the outputs that it reaches, and, backward, what these
// outputs' gradients add to the event's weights. Zeros are not touched. One library for each NORSE_NUMBER (float,
// double).
//
// A strip is brought into torch's order, channel after channel, when it is done, and a gradient's out of it when it is
// begun. Every strip, and every block of a weight gradient, is written by one task alone and in a fixed order: results
// do not depend on the number of threads.
#include "convolution.h"

namespace {

const int64_t most_parts = 16;  // of the samples: enough for threads to end at the same time

template <typename T>
int64_t parts(const plan<T>& p) {
  return larger(1, smaller(p.c.samples, most_parts / p.blocks));
}

template <typename T>
int forward(const norse_convolution& of, const events<T>& x, const T* weight, const T* bias, T* out, int64_t threads,
            gomp_parallel gomp) {
  const plan<T> p(of);
  const int64_t block_size = p.patch * p.width, chunks = larger(1, smaller(of.samples, 64));
  aligned_memory memory;
  const T* packed = pack_kernels(p, weight, memory, threads, gomp);
  if (!packed) return 3;
  std::atomic<bool> failed{false};
  for_each_task(p.blocks * chunks, threads, gomp, [&](int64_t task) {
    const int64_t block = task / chunks, chunk = task % chunks, real = p.real(block);
    T* sums = (T*)block_memory().of(strip_size(p));
    if (!sums) {
      failed = true;
      return;
    }
    for (int64_t sample = of.samples * chunk / chunks; sample < of.samples * (chunk + 1) / chunks; ++sample)
      for (int64_t strip = 0; strip < p.strips; ++strip) {
        NORSE_OF_BLOCK(forward_strip, p, x, sample, block, strip, packed + block * block_size, bias, sums)
        to_planes(sums, p.width, p.pixels(strip),
                  out + (sample * of.groups * of.outputs + p.first(block)) * p.plane() +
                      strip * p.strip_rows * of.out_width,
                  p.plane(), real);
      }
  });
  return failed ? 3 : 0;
}

template <typename T>
int weights(const norse_convolution& of, const events<T>& x, const T* grad, T* weight, int64_t threads,
            gomp_parallel gomp) {
  const plan<T> p(of);
  const int64_t block_size = p.patch * p.width, count = parts(p);
  aligned_memory memory;  // a sum for each part of the samples, added up in their order
  T* sums = (T*)memory.of(p.blocks * count * block_size * sizeof(T));
  if (!sums) return 3;
  std::atomic<bool> failed{false};
  for_each_task(p.blocks * count, threads, gomp, [&](int64_t task) {
    const int64_t block = task / count, part = task % count, real = p.real(block);
    T* pixels = (T*)block_memory().of(strip_size(p));
    if (!pixels) {
      failed = true;
      return;
    }
    T* sum = sums + task * block_size;
    memset(sum, 0, block_size * sizeof(T));
    for (int64_t sample = of.samples * part / count; sample < of.samples * (part + 1) / count; ++sample)
      for (int64_t strip = 0; strip < p.strips; ++strip) {
        to_pixels(grad + (sample * of.groups * of.outputs + p.first(block)) * p.plane() +
                      strip * p.strip_rows * of.out_width,
                  p.plane(), real, pixels, p.width, p.pixels(strip));
        NORSE_OF_BLOCK(weights_strip, p, x, sample, block, strip, pixels, sum)
      }
  });
  if (failed) return 3;
  for_each_task(p.blocks, threads, gomp, [&](int64_t block) {
    T* sum = sums + block * count * block_size;
    for (int64_t part = 1; part < count; ++part)
      for (int64_t k = 0; k < block_size; ++k) sum[k] += sum[part * block_size + k];
    unpack(sum, p.patch, p.first(block), p.first(block) + p.real(block), p.width, weight);
  });
  return 0;
}

}  // namespace

extern "C" int norse_convolve(const norse_convolution* of, const int32_t* begin, const int32_t* index,
                              const NORSE_NUMBER* value, const NORSE_NUMBER* weight, const NORSE_NUMBER* bias,
                              NORSE_NUMBER* out, int64_t threads, gomp_parallel gomp) {
  return forward<NORSE_NUMBER>(*of, {begin, index, value}, weight, bias, out, threads, gomp);
}

extern "C" int norse_convolution_weights(const norse_convolution* of, const int32_t* begin, const int32_t* index,
                                         const NORSE_NUMBER* value, const NORSE_NUMBER* grad, NORSE_NUMBER* weight,
                                         int64_t threads, gomp_parallel gomp) {
  return weights<NORSE_NUMBER>(*of, {begin, index, value}, grad, weight, threads, gomp);
}
