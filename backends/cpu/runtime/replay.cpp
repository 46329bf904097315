// Replays a recorded call of a compiled model, for streams: one tick after the other without Python.
#include "norse_kernel.h"
#include "rows.h"

// One thing that a recorded call does, on memory that stays where it is.
struct norse_action {
  int32_t kind;  // 0: a kernel, 1: `samples` bytes copied, 2: out[r, n] = bias[n] + sum_k x[r, k] matrix[k, n]
  int32_t element_size;
  norse_kernel function;
  const norse_call* call;
  const void *x, *matrix, *bias;
  void* to;
  int64_t samples, inputs, outputs;
  int32_t* index;
};

template <typename T>
static void product(const norse_action& a) {
  norse_products<T>((const T*)a.x, a.inputs, (const T*)a.matrix, (T*)a.to, a.outputs, a.samples, a.inputs, a.outputs,
                    a.index);
  if (a.bias)
    for (int64_t sample = 0; sample < a.samples; ++sample)
      for (int64_t n = 0; n < a.outputs; ++n) ((T*)a.to)[sample * a.outputs + n] += ((const T*)a.bias)[n];
}

// A recorded call, action by action, on the calling thread.
extern "C" void norse_replay(const norse_action* actions, int64_t count) {
  for (const norse_action* a = actions; a < actions + count; ++a) {
    if (a->kind == 0)
      a->function(a->call);
    else if (a->kind == 1)
      memcpy(a->to, a->x, a->samples);
    else if (a->element_size == 4)
      product<float>(*a);
    else
      product<double>(*a);
  }
}
