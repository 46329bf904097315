// Average pooling over windows that don't overlap, with torch's bits: a window's sum runs along its rows, from zero.
#include "norse_kernel.h"
#include "parallel.h"
#include "rows.h"

namespace {

const int64_t chunk_bytes = 1 << 16;  // planes that a thread takes at a time

template <typename Body>
void for_each_plane(int64_t planes, int64_t plane_bytes, int64_t threads, gomp_parallel gomp, const Body& body) {
  const int64_t chunk = chunk_bytes / (plane_bytes + 1) + 1;
  for_each_task((planes + chunk - 1) / chunk, threads, gomp, [&](int64_t task) {
    for (int64_t plane = task * chunk; plane < planes && plane < (task + 1) * chunk; ++plane) body(plane);
  });
}

// One row of windows. Constant sizes of a window are known to the compiler.
template <typename T>
inline void average_row(const T* NORSE_RESTRICT x, int64_t width, T* NORSE_RESTRICT out, int64_t out_width,
                        int64_t high, int64_t wide) {
  NORSE_VECTORISE
  for (int64_t o = 0; o < out_width; ++o) {
    T sum = 0;
    for (int64_t i = 0; i < high; ++i)
      for (int64_t j = 0; j < wide; ++j) sum += x[i * width + o * wide + j];
    out[o] = sum / (T)(high * wide);
  }
}

template <typename T>
inline void spread_row(const T* NORSE_RESTRICT grad, int64_t out_width, T* NORSE_RESTRICT x, int64_t width,
                       int64_t high, int64_t wide) {
  for (int64_t i = 0; i < high; ++i) {
    T* row = x + i * width;
    NORSE_VECTORISE
    for (int64_t o = 0; o < out_width; ++o) {
      const T share = 0 + grad[o] / (T)(high * wide);
      for (int64_t j = 0; j < wide; ++j) row[o * wide + j] = share;
    }
    for (int64_t k = out_width * wide; k < width; ++k) row[k] = 0;
  }
}

template <typename T>
void average(const T* x, T* out, int64_t planes, int64_t height, int64_t width, int64_t high, int64_t wide,
             int64_t threads, gomp_parallel gomp) {
  const int64_t out_height = height / high, out_width = width / wide;
  for_each_plane(planes, height * width * sizeof(T), threads, gomp, [&](int64_t plane) {
    const T* from = x + plane * height * width;
    T* to = out + plane * out_height * out_width;
    for (int64_t o = 0; o < out_height; ++o, from += high * width, to += out_width)
      if (high == 2 && wide == 2)
        average_row(from, width, to, out_width, 2, 2);
      else
        average_row(from, width, to, out_width, high, wide);
  });
}

template <typename T>
void spread(const T* grad, T* x, int64_t planes, int64_t height, int64_t width, int64_t high, int64_t wide,
            int64_t threads, gomp_parallel gomp) {
  const int64_t out_height = height / high, out_width = width / wide;
  for_each_plane(planes, height * width * sizeof(T), threads, gomp, [&](int64_t plane) {
    const T* from = grad + plane * out_height * out_width;
    T* to = x + plane * height * width;
    for (int64_t o = 0; o < out_height; ++o, to += high * width, from += out_width)
      if (high == 2 && wide == 2)
        spread_row(from, out_width, to, width, 2, 2);
      else
        spread_row(from, out_width, to, width, high, wide);
    for (T* end = x + (plane + 1) * height * width; to < end; ++to) *to = 0;
  });
}

}  // namespace

using number = NORSE_NUMBER;

extern "C" void norse_average(const number* x, number* out, int64_t planes, int64_t height, int64_t width, int64_t high,
                              int64_t wide, int64_t threads, gomp_parallel gomp) {
  average<number>(x, out, planes, height, width, high, wide, threads, gomp);
}
extern "C" void norse_spread(const number* grad, number* x, int64_t planes, int64_t height, int64_t width, int64_t high,
                             int64_t wide, int64_t threads, gomp_parallel gomp) {
  spread<number>(grad, x, planes, height, width, high, wide, threads, gomp);
}
