// Threads that share the neurons of the same samples, a range each. Where a product reads whole rows, each gives the
// others its part of them and waits for theirs.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <cstring>

#include "events.h"
#include "norse_kernel.h"

const int norse_team_samples = 8;  // at most, at a time
const int norse_range = 64;  // ranges begin at multiples of it: of events' words, and of all vectors' widths

// What a member tells the others of its range, in cache lines of its own. To bring one from another processor takes
// most of a meeting's time, so there is little in it: up to 384 neurons of a sample fit into one.
struct norse_message {
  std::atomic<int64_t> meetings;  // what is written before it grows (release), who sees that sees too (acquire)
  int64_t analog;  // a bit for each sample: whether what is not zero is not always one
  uint64_t bits[];  // [samples, words of the range]: what is not zero
};

// What all members read. There are two of everything, used in turn. A member that writes into one of them has met all
// others since its last use, and so they are through with it: one meeting a product is enough.
struct norse_team {
  char* rows;  // [2, samples, neurons]: whole rows, 8 bytes a neuron
  char* messages;  // [2, members]
  int64_t samples, row_bytes, message_bytes, size;  // how many samples and members there are at most

  template <typename T>
  T* row(int64_t turn, int64_t sample) const {
    return (T*)(rows + (turn * samples + sample) * row_bytes);
  }
  norse_message* message(int64_t turn, int64_t member) const {
    return (norse_message*)(messages + (turn * size + member) * message_bytes);
  }
};

// A member, written by itself alone.
struct alignas(64) norse_member {
  const norse_team* team;
  const norse_member* members;  // of the whole team
  int64_t size, number;  // how many members there are, and which of them this is
  int64_t begin, end;  // its neurons
  int32_t* index;  // room for the places of a whole row, and three more
  alignas(64) int64_t meetings = 0;  // apart from what the others read

  int64_t words() const { return (end - begin + 63) / 64; }
};

static inline void norse_pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Until a member has been at the meeting: for some 20 us without giving up the processor. Behind that it may be the one
// that the other is waiting for.
static inline void norse_wait(const norse_message* other, int64_t meetings) {
  for (int turns = 0; turns < 1000; ++turns) {
    if (other->meetings.load(std::memory_order_acquire) == meetings) return;
    norse_pause();
  }
  while (other->meetings.load(std::memory_order_acquire) != meetings) sched_yield();
}

// Gives the member's part of all samples' rows to the others, and waits for theirs. Returns the turn.
template <typename T>
static inline int64_t norse_meet(norse_member* self, const T* x, int64_t x_stride, int64_t samples) {
  const int64_t turn = self->meetings++ & 1, count = self->end - self->begin;
  norse_message* message = self->team->message(turn, self->number);
  uint64_t* bits = message->bits;
  message->analog = 0;
  for (int64_t sample = 0; sample < samples; ++sample, x += x_stride) {
    bool analog = false;
    for (int64_t k = 0; k < count; k += 64)
      *bits++ = active_bits<T>(x + k, (int)(count - k < 64 ? count - k : 64), analog);
    message->analog |= (int64_t)analog << sample;
    memcpy(self->team->row<T>(turn, sample) + self->begin, x, count * sizeof(T));
  }
  message->meetings.store(self->meetings, std::memory_order_release);
  for (int64_t k = 0; k < self->size; ++k) norse_wait(self->team->message(turn, k), self->meetings);
  return turn;
}

// The places of what is not zero in a whole row, as norse_active has them.
static inline int64_t norse_active_of_all(const norse_member* self, int64_t turn, int64_t sample, bool& analog) {
  int64_t found = 0;
  for (int64_t k = 0; k < self->size; ++k) {
    const norse_member& other = self->members[k];
    const norse_message* message = self->team->message(turn, k);
    const int64_t words = other.words();
    for (int64_t word = 0; word < words; ++word)
      found += list_bits(message->bits[sample * words + word], (int32_t)(other.begin + word * 64), self->index + found);
    analog |= message->analog >> sample & 1;
  }
  return found;
}
