// What kernels do to whole rows.
#pragma once

#include <cstring>

#include "norse_kernel.h"

// A loop whose iterations are independent: rows never overlap.
#if defined(__clang__)
#define NORSE_VECTORISE _Pragma("clang loop vectorize(enable) interleave(enable)")
#elif defined(__GNUC__)
#define NORSE_VECTORISE _Pragma("GCC ivdep")
#else
#define NORSE_VECTORISE
#endif

// Row `index` of the calling thread's scratch memory; rows are 64-byte aligned and hold 8 bytes a neuron.
template <typename T>
static inline T* norse_scratch(const norse_call* call, int index, int64_t count) {
  const int64_t row_bytes = (count * 8 + 63) / 64 * 64;
  return (T*)(call->scratch + index * row_bytes);
}

template <typename T>
static inline void norse_copy(T* to, const T* from, int64_t count) {
  memcpy(to, from, count * sizeof(T));
}

// out[n] = sum_k x[k] matrix[k, n], event-driven: rows of silent inputs are not read. Four rows at a time, so that `out`
// goes through memory once for four of them.
template <typename T>
static inline void norse_vecmat(const T* NORSE_RESTRICT x, const T* NORSE_RESTRICT matrix, T* NORSE_RESTRICT out,
                                int64_t inputs, int64_t outputs) {
  memset(out, 0, outputs * sizeof(T));
  int64_t active[4];
  int found = 0;
  for (int64_t k = 0; k < inputs; ++k) {
    if (x[k] == 0) continue;
    active[found++] = k;
    if (found < 4) continue;
    const T* NORSE_RESTRICT r0 = matrix + active[0] * outputs;
    const T* NORSE_RESTRICT r1 = matrix + active[1] * outputs;
    const T* NORSE_RESTRICT r2 = matrix + active[2] * outputs;
    const T* NORSE_RESTRICT r3 = matrix + active[3] * outputs;
    const T x0 = x[active[0]], x1 = x[active[1]], x2 = x[active[2]], x3 = x[active[3]];
    NORSE_VECTORISE
    for (int64_t n = 0; n < outputs; ++n) out[n] += (x0 * r0[n] + x1 * r1[n]) + (x2 * r2[n] + x3 * r3[n]);
    found = 0;
  }
  for (int rest = 0; rest < found; ++rest) {
    const T* NORSE_RESTRICT r = matrix + active[rest] * outputs;
    const T value = x[active[rest]];
    NORSE_VECTORISE
    for (int64_t n = 0; n < outputs; ++n) out[n] += value * r[n];
  }
}
