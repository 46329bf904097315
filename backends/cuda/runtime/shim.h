// Lets a C++ compiler build a CUDA kernel's text as it stands, and runs it on the CPU: for tests. Every thread of a block
// is a fiber; it runs until the block's next barrier or its end, then the next thread does.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <utility>
#include <vector>

#define __global__
#define __device__

struct norse_shim_dimensions {
  unsigned x, y, z;
};

static thread_local norse_shim_dimensions threadIdx{0, 0, 0}, blockIdx{0, 0, 0}, blockDim{1, 1, 1}, gridDim{1, 1, 1};

namespace norse_shim {

const size_t stack_bytes = 64 << 10;

struct fiber {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(stack_bytes);
  bool finished = false;
};

struct block {
  void (*start)(const void* launch);
  const void* launch;
  std::vector<fiber> fibers;
  ucontext_t scheduler;
  fiber* current = nullptr;
};

static thread_local block* running = nullptr;

static void enter() {
  running->start(running->launch);
  running->current->finished = true;  // and its context ends in the scheduler's
}

// Runs a block. Returns false if some of its threads ended while others waited at a barrier: a GPU may hang there.
static bool run(block& b, bool descending) {
  running = &b;
  const unsigned count = (unsigned)b.fibers.size();
  for (fiber& f : b.fibers) {
    getcontext(&f.context);
    f.finished = false;
    f.context.uc_stack.ss_sp = f.stack.data();
    f.context.uc_stack.ss_size = f.stack.size();
    f.context.uc_link = &b.scheduler;
    makecontext(&f.context, enter, 0);
  }
  for (;;) {
    unsigned finished = 0;
    for (unsigned turn = 0; turn < count; ++turn) {
      threadIdx.x = descending ? count - 1 - turn : turn;
      b.current = &b.fibers[threadIdx.x];
      swapcontext(&b.scheduler, &b.current->context);
      finished += b.current->finished;
    }
    if (finished == count) return true;
    if (finished) return false;
  }
}

template <typename... P>
struct launch {
  void (*kernel)(P...);
  void** arguments;

  template <size_t... I>
  void call(std::index_sequence<I...>) const {
    kernel(*(P*)arguments[I]...);
  }
  static void start(const void* self) { ((const launch*)self)->call(std::index_sequence_for<P...>()); }
};

// As cuLaunchKernel: `arguments` are the addresses of the kernel's. `descending` takes the threads of a block in the
// other order, so that a missing barrier shows. Returns 0, or 1 where the threads of a block missed each other.
template <typename... P>
int run_grid(void (*kernel)(P...), unsigned blocks, unsigned threads, int descending, void** arguments) {
  const launch<P...> one{kernel, arguments};
  block b;
  b.start = &launch<P...>::start;
  b.launch = &one;
  b.fibers.resize(threads);
  gridDim.x = blocks;
  blockDim.x = threads;
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
    if (!run(b, descending)) return 1;
  return 0;
}

}  // namespace norse_shim

static inline void __syncthreads() { swapcontext(&norse_shim::running->current->context, &norse_shim::running->scheduler); }

// After the kernel's text: what Python calls.
#define NORSE_SHIM_LAUNCHER(KERNEL)                                                                                \
  extern "C" int KERNEL##_launch(unsigned blocks, unsigned threads, int descending, void** arguments) {            \
    return norse_shim::run_grid(KERNEL, blocks, threads, descending, arguments);                                   \
  }
