// Threads that share the neurons of the same samples, a range each. Where a product reads whole rows, each gives the
// others its part of them and waits for theirs.
#pragma once

#include <sched.h>
#include <time.h>

#include <atomic>
#include <cstdint>
#include <cstring>

#include "events.h"
#include "norse_kernel.h"

const int norse_team_samples = 8;  // at most, at a time
const int norse_range = 64;  // ranges begin at multiples of it: rows of the smallest type then share no cache line

// What all members read. There are two of everything, used in turn. A member that writes into one of them has met all
// others since its last use, and so they are through with it: one meeting a product is enough.
struct norse_team {
  char* rows;  // [2, samples, neurons]: whole rows, 8 bytes a neuron
  int32_t* places;  // [2, samples, neurons and a range for each member]: the places of what is not zero
  int64_t samples, row_bytes, places_stride;

  template <typename T>
  T* row(int turn, int64_t sample) const {
    return (T*)(rows + (turn * samples + sample) * row_bytes);
  }
};

struct alignas(64) norse_member {
  // Written by the member and read by the others, in a cache line of its own. What a member writes before its number
  // of meetings grows (release) is seen by whoever has seen that (acquire).
  std::atomic<int64_t> meetings{0};
  int32_t events[2][norse_team_samples];  // of its range: twice as many as there are, and one more if they are analog

  alignas(64) const norse_team* team;  // from here on the member's own
  norse_member* members;  // of the whole team
  int64_t size, number;  // how many members there are, and which of them this is
  int64_t begin, end;  // its neurons
  int32_t* index;  // room for the places of a whole row
  int64_t waited = 0;  // nanoseconds without a processor, or for one that had none

  int32_t* places_of(int turn, int64_t sample) const {
    return team->places + (turn * team->samples + sample) * team->places_stride + begin + number * norse_range;
  }
};

static inline void norse_pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

static inline int64_t norse_nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

// Until a member has been at so many meetings: for some 20 us without giving up the processor. Behind that it may be
// the one that the other is waiting for; how long this takes is noted.
static inline void norse_wait(norse_member* self, const norse_member& other, int64_t meetings) {
  for (int turns = 0; turns < 1000; ++turns) {
    if (other.meetings.load(std::memory_order_acquire) >= meetings) return;
    norse_pause();
  }
  const int64_t start = norse_nanoseconds();
  while (other.meetings.load(std::memory_order_acquire) < meetings) sched_yield();
  self->waited += norse_nanoseconds() - start;
}

// Gives the member's part of all samples' rows to the others, and waits for theirs. Returns the turn.
template <typename T>
static inline int norse_meet(norse_member* self, const T* x, int64_t x_stride, int64_t samples) {
  const int64_t before = self->meetings.load(std::memory_order_relaxed), count = self->end - self->begin;
  const int turn = before & 1;
  for (int64_t sample = 0; sample < samples; ++sample, x += x_stride) {
    bool analog = false;
    const int64_t found = norse_active(x, count, self->places_of(turn, sample), analog);
    self->events[turn][sample] = (int32_t)(2 * found + analog);
    memcpy(self->team->row<T>(turn, sample) + self->begin, x, count * sizeof(T));
  }
  self->meetings.store(before + 1, std::memory_order_release);
  for (int64_t k = 0; k < self->size; ++k) norse_wait(self, self->members[k], before + 1);
  return turn;
}

// The places of what is not zero in a whole row, as norse_active has them.
static inline int64_t norse_active_of_all(const norse_member* self, int turn, int64_t sample, bool& analog) {
  int64_t found = 0;
  for (int64_t k = 0; k < self->size; ++k) {
    const norse_member& other = self->members[k];
    const int32_t events = other.events[turn][sample];
    const int32_t* places = other.places_of(turn, sample);
    for (int e = 0; e < events >> 1; ++e) self->index[found++] = places[e] + (int32_t)other.begin;
    analog |= events & 1;
  }
  return found;
}
