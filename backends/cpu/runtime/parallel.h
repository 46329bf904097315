// Threads: those of the OpenMP library that torch has loaded, given by pointer, so that no second pool competes with it;
// without one, a small pool of our own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

typedef void (*gomp_parallel)(void (*)(void*), void*, unsigned, unsigned);

namespace {

// Parked threads for machines where torch brings no OpenMP library with the GNU interface.
class pool {
 public:
  void parallel(void (*work)(void*), void* argument, unsigned threads) {
    std::unique_lock<std::mutex> one_at_a_time(entry_);
    {
      std::unique_lock<std::mutex> lock(mutex_);
      while (workers_.size() + 1 < threads) workers_.emplace_back([this, id = workers_.size()] { serve(id); });
      work_ = work;
      argument_ = argument;
      wanted_ = threads - 1;
      running_ = threads - 1;
      ++generation_;
    }
    wake_.notify_all();
    work(argument);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  void serve(size_t id) {
    unsigned long seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      if (id >= wanted_) continue;
      void (*work)(void*) = work_;
      void* argument = argument_;
      lock.unlock();
      work(argument);
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::mutex entry_, mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
  void (*work_)(void*) = nullptr;
  void* argument_ = nullptr;
  size_t wanted_ = 0, running_ = 0;
  unsigned long generation_ = 0;
};

// Runs `work` on that many threads at once.
inline void in_parallel(void (*work)(void*), void* argument, int64_t threads, gomp_parallel gomp) {
  static pool* own = new pool;  // never destroyed: its threads may be parked at exit
  if (threads <= 1)
    work(argument);
  else if (gomp)
    gomp(work, argument, (unsigned)threads, 0);
  else
    own->parallel(work, argument, (unsigned)threads);
}

// Calls body(task) for every task; threads take the next one until none is left. What a task writes must not depend on
// who runs it: then results do not depend on the number of threads.
template <typename Body>
inline void for_each_task(int64_t tasks, int64_t threads, gomp_parallel gomp, const Body& body) {
  struct shared {
    const Body& body;
    int64_t tasks;
    std::atomic<int64_t> next{0};
  } state{body, tasks};
  auto work = [](void* argument) {
    shared* s = (shared*)argument;
    for (int64_t task; (task = s->next++) < s->tasks;) s->body(task);
  };
  in_parallel(work, &state, threads < tasks ? threads : tasks, gomp);
}

}  // namespace
