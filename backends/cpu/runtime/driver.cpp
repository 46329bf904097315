// Runs a kernel over its tiles: one library, built once, for all kernels.
#include <atomic>
#include <cstdlib>

#include "norse_kernel.h"
#include "parallel.h"
#include "transpose.h"

namespace {

// The tasks of one run; threads take the next one until none is left, so results do not depend on who runs what.
struct run {
  norse_kernel kernel;
  const norse_call* call;
  int64_t tile_samples, tile_neurons, sample_tiles, neuron_tiles;
  int64_t scratch_bytes;
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
};

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

void work(void* argument) {
  run* r = (run*)argument;
  void* scratch = nullptr;
  if (posix_memalign(&scratch, 64, r->scratch_bytes + 64)) {
    r->failed = true;
    return;
  }
  for (int64_t tile; (tile = r->next++) < r->sample_tiles * r->neuron_tiles;) {
    norse_call call = *r->call;
    call.scratch = (char*)scratch;
    call.sample_begin += tile / r->neuron_tiles * r->tile_samples;
    call.sample_end = smaller(call.sample_begin + r->tile_samples, r->call->sample_end);
    call.neuron_begin += tile % r->neuron_tiles * r->tile_neurons;
    call.neuron_end = smaller(call.neuron_begin + r->tile_neurons, r->call->neuron_end);
    r->kernel(&call);
  }
  free(scratch);
}

}  // namespace

// Returns 0, or 1: another version of the structs, 2: a storage kind that kernels do not read, 3: no memory.
extern "C" int norse_run(norse_kernel kernel, const norse_call* call, int64_t tile_samples, int64_t tile_neurons,
                         int64_t scratch_rows, int32_t threads, gomp_parallel gomp) {
  if (call->version != NORSE_KERNEL_VERSION) return 1;
  for (int k = 0; k < call->buffer_count; ++k)
    if (call->buffers[k].storage != NORSE_ELEMENT) return 2;
  const int64_t samples = call->sample_end - call->sample_begin, neurons = call->neuron_end - call->neuron_begin;
  if (samples <= 0 || neurons <= 0) return 0;
  run r;
  r.kernel = kernel;
  r.call = call;
  r.tile_samples = tile_samples;
  r.tile_neurons = smaller(tile_neurons, neurons);
  r.sample_tiles = (samples + tile_samples - 1) / tile_samples;
  r.neuron_tiles = (neurons + r.tile_neurons - 1) / r.tile_neurons;
  r.scratch_bytes = scratch_rows * tile_samples * ((r.tile_neurons * 8 + 63) / 64 * 64);
  const int64_t tiles = r.sample_tiles * r.neuron_tiles;
  in_parallel(work, &r, smaller(threads, tiles), gomp);
  return r.failed ? 3 : 0;
}

// out[k * rows + n] = matrix[n * columns + k]. Rows are a multiple of a register's numbers.
extern "C" void norse_transpose_float32(const float* matrix, int64_t rows, int64_t columns, float* out) {
  to_pixels(matrix, columns, rows, out, rows, columns);
}
