// Runs a kernel over its tiles: one library, built once, for all kernels.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "norse_kernel.h"
#include "parallel.h"
#include "team.h"
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

// One run of a team: all members go through all samples and ticks, each with its range of neurons.
struct shared_run {
  norse_kernel kernel;
  const norse_call* call;
  int64_t tile_samples, scratch_rows;
  int64_t threads;
  int (*size)();  // how many threads run this region: OpenMP may give fewer than were asked for. Null: all
  norse_team team;
  norse_member* members;
  char *index, *scratch;
  int64_t index_bytes;
  std::atomic<int64_t> next{0};
};

void work_together(void* argument) {
  shared_run* r = (shared_run*)argument;
  norse_call call = *r->call;
  const int64_t number = r->next++, neurons = call.neurons, ranges = (neurons + norse_range - 1) / norse_range;
  norse_member& self = r->members[number];
  self.team = &r->team;
  self.members = r->members;
  self.size = r->size ? r->size() : r->threads;
  self.number = number;
  self.begin = number * ranges / self.size * norse_range;
  self.end = smaller((number + 1) * ranges / self.size * norse_range, neurons);
  self.index = (int32_t*)(r->index + number * r->index_bytes);
  call.member = &self;
  call.neuron_begin = self.begin;
  call.neuron_end = self.end;
  call.scratch = r->scratch + r->scratch_rows * r->tile_samples * self.begin * 8;
  for (int64_t sample = r->call->sample_begin; sample < r->call->sample_end; sample += r->tile_samples) {
    call.sample_begin = sample;
    call.sample_end = smaller(sample + r->tile_samples, r->call->sample_end);
    r->kernel(&call);
  }
}

int64_t rounded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

int refused(const norse_call* call) {
  if (call->version != NORSE_KERNEL_VERSION) return 1;
  for (int k = 0; k < call->buffer_count; ++k)
    if (call->buffers[k].storage != NORSE_ELEMENT) return 2;
  return 0;
}

}  // namespace

// Returns 0, or 1: another version of the structs, 2: a storage kind that kernels do not read, 3: no memory.
extern "C" int norse_run(norse_kernel kernel, const norse_call* call, int64_t tile_samples, int64_t tile_neurons,
                         int64_t scratch_rows, int32_t threads, gomp_parallel gomp) {
  if (const int reason = refused(call)) return reason;
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

// The same of a kernel whose neurons read each other, on threads that share the neurons of every sample.
extern "C" int norse_run_together(norse_kernel kernel, const norse_call* call, int64_t tile_samples,
                                  int64_t scratch_rows, int32_t threads, gomp_parallel gomp, int (*size)()) {
  if (const int reason = refused(call)) return reason;
  if (call->sample_end <= call->sample_begin || call->neurons <= 0) return 0;
  shared_run r;
  r.kernel = kernel;
  r.call = call;
  r.tile_samples = smaller(tile_samples, norse_team_samples);
  r.scratch_rows = scratch_rows;
  r.threads = threads;
  r.size = gomp ? size : nullptr;
  r.team.samples = r.tile_samples;
  r.team.size = threads;
  r.team.row_bytes = rounded(call->neurons * 8);
  const int64_t words = (call->neurons + 63) / 64;  // of a range, if a single thread comes
  r.team.message_bytes = rounded((int64_t)sizeof(norse_message) + r.tile_samples * words * 8);
  r.index_bytes = rounded((call->neurons + 4) * 4);
  // All of it in one piece and before the threads begin: none may be missing at a meeting for want of memory.
  const int64_t members = threads * (int64_t)sizeof(norse_member), messages = 2 * threads * r.team.message_bytes;
  const int64_t rows = 2 * r.tile_samples * r.team.row_bytes, index = threads * r.index_bytes;
  const int64_t scratch = scratch_rows * r.tile_samples * r.team.row_bytes;
  void* memory = nullptr;
  if (posix_memalign(&memory, 64, members + messages + rows + index + scratch + 64)) return 3;
  r.members = (norse_member*)memory;
  r.team.messages = (char*)memory + members;
  r.team.rows = r.team.messages + messages;
  r.index = r.team.rows + rows;
  r.scratch = r.index + index;
  for (int64_t k = 0; k < threads; ++k) new (r.members + k) norse_member;
  memset(r.team.messages, 0, messages);
  in_parallel(work_together, &r, threads, gomp);
  free(memory);
  return 0;
}

// out[k * rows + n] = matrix[n * columns + k]. Rows are a multiple of a register's numbers.
extern "C" void norse_transpose_float32(const float* matrix, int64_t rows, int64_t columns, float* out) {
  to_pixels(matrix, columns, rows, out, rows, columns);
}
