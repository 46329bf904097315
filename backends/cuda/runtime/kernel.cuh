// What every generated CUDA kernel includes: its buffers, and what the threads of a block do to whole rows.
#pragma once

#define NORSE_FUNCTION static __device__ inline

#include "arithmetic.h"
#include "norse_kernel.h"

// A kernel's buffers, given to it by value: a launch copies nothing to the device.
template <int COUNT>
struct norse_buffers {
  norse_buffer at[COUNT];
};

// out[n] = sum_k x[k] matrix[k, n] by the threads of a block, event-driven: rows of silent inputs are not read. All
// threads look at the same x[k], so they skip it together. `x` is another row than `out`; neither is restricted, since
// other threads wrote `x`.
template <typename T>
NORSE_FUNCTION void norse_vecmat(const T* x, const T* NORSE_RESTRICT matrix, T* out, int64_t inputs, int64_t outputs) {
  for (int64_t n = threadIdx.x; n < outputs; n += blockDim.x) {
    T sum = 0;
    for (int64_t k = 0; k < inputs; ++k) {
      const T value = x[k];
      if (value != 0) sum += value * matrix[k * outputs + n];
    }
    out[n] = sum;
  }
}
