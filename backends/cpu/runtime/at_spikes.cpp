// Keeps values where a decision holds: a decision as bits, the first element lowest, and the values that it marks one
// after the other. Bits come in words of 64, the last one filled with zeros.
#include <cstdint>
#include <cstring>

#include "events.h"

namespace {

constexpr uint64_t LOWEST = 0x0101010101010101u;  // the lowest bit of every byte

// Eight bits as eight bytes that are 0 or 1: byte k keeps bit k, which the sum then carries to its highest place.
uint64_t bytes_of(uint64_t bits) {
  return ((((bits * LOWEST) & 0x8040201008040201u) + 0x7f7f7f7f7f7f7f7fu) >> 7) & LOWEST;
}

// Calls what(place, number) for the places of all ones, in their order.
template <typename What>
int64_t each(const uint64_t* bits, int64_t count, What what) {
  int64_t number = 0;
  for (int64_t first = 0; first < count; first += 64)
    for (uint64_t rest = bits[first / 64]; rest; rest &= rest - 1) what(first + __builtin_ctzll(rest), number++);
  return number;
}

template <typename T>
void gather(const T* x, const uint64_t* bits, int64_t count, T* values) {
  each(bits, count, [=](int64_t place, int64_t number) { values[number] = x[place]; });
}

template <typename T>
void scatter(const T* values, const uint64_t* bits, int64_t count, T* x) {
  each(bits, count, [=](int64_t place, int64_t number) { x[place] = values[number]; });
}

}  // namespace

extern "C" {

// Returns how many there are.
int64_t norse_pack(const uint8_t* decision, int64_t count, uint64_t* bits) {
  int64_t ones = 0;
  for (int64_t first = 0; first < count; first += 64) {
    bool analog = false;
    const int64_t left = count - first;
    const uint64_t word = active_bits<bool>((const bool*)decision + first, (int)(left < 64 ? left : 64), analog);
    bits[first / 64] = word;
    ones += __builtin_popcountll(word);
  }
  return ones;
}

void norse_unpack(const uint64_t* bits, int64_t count, uint8_t* decision) {
  int64_t place = 0;
  for (; place + 8 <= count; place += 8) {
    const uint64_t bytes = bytes_of((bits[place / 64] >> (place % 64)) & 0xff);
    memcpy(decision + place, &bytes, 8);
  }
  for (; place < count; ++place) decision[place] = (bits[place / 64] >> (place % 64)) & 1;
}

void norse_gather(const char* x, int32_t size, const uint64_t* bits, int64_t count, char* values) {
  if (size == 4)
    gather((const uint32_t*)x, bits, count, (uint32_t*)values);
  else
    gather((const uint64_t*)x, bits, count, (uint64_t*)values);
}

void norse_scatter(const char* values, int32_t size, const uint64_t* bits, int64_t count, char* x) {
  if (size == 4)
    scatter((const uint32_t*)values, bits, count, (uint32_t*)x);
  else
    scatter((const uint64_t*)values, bits, count, (uint64_t*)x);
}
}
