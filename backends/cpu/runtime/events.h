// Events: of every row of a matrix, the places that are not zero. Spikes are all one, so that their places say it all.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

// Which of 64 values are not zero, as bits; `analog` becomes true if one of those is not one. NaN is neither.
template <typename T>
inline uint64_t active_bits(const T* x, int count, bool& analog) {
  uint64_t bits = 0;
  for (int k = 0; k < count; ++k) {
    bits |= (uint64_t)(x[k] != 0) << k;
    analog |= (x[k] != 0) & (x[k] != 1);
  }
  return bits;
}

// Eight bytes of 0 or 1 at a time: the product brings byte k's bit to place 56 + k.
template <>
inline uint64_t active_bits<bool>(const bool* x, int count, bool&) {
  uint64_t bits = 0;
  for (int k = 0; k < count; k += 8) {
    uint64_t eight = 0;
    if (count - k >= 8)
      memcpy(&eight, x + k, 8);
    else
      memcpy(&eight, x + k, count - k);
    bits |= (eight * 0x0102040810204080u >> 56) << k;
  }
  return bits;
}

#if defined(__AVX512F__)
// Of 16 values. `other`: where bits differ from those of 0 and 1, so that -0 counts as analog.
inline uint64_t active_lanes(__m512i v, __m512i& other) {
  const __mmask16 active = _mm512_test_epi32_mask(v, _mm512_set1_epi32(0x7fffffff));
  const __m512i one = _mm512_maskz_mov_epi32(active, _mm512_castps_si512(_mm512_set1_ps(1)));
  other = _mm512_or_si512(other, _mm512_xor_si512(v, one));
  return active;
}

template <>
inline uint64_t active_bits<float>(const float* x, int count, bool& analog) {
  __m512i other = _mm512_setzero_si512();
  uint64_t bits = 0;
  if (count == 64) {
    const uint64_t a = active_lanes(_mm512_loadu_si512(x), other), b = active_lanes(_mm512_loadu_si512(x + 16), other);
    const uint64_t c = active_lanes(_mm512_loadu_si512(x + 32), other);
    bits = (a | b << 16) | (c | active_lanes(_mm512_loadu_si512(x + 48), other) << 16) << 32;
  } else {
    for (int k = 0; k < count; k += 16) {
      const __mmask16 inside = count - k < 16 ? (__mmask16)((1u << (count - k)) - 1) : (__mmask16)-1;
      bits |= active_lanes(_mm512_maskz_loadu_epi32(inside, x + k), other) << k;
    }
  }
  analog |= _mm512_test_epi32_mask(other, other) != 0;
  return bits;
}
#elif defined(__AVX2__)
template <>
inline uint64_t active_bits<float>(const float* x, int count, bool& analog) {
  uint64_t bits = 0;
  int other = 0, k = 0;
  for (; k + 8 <= count; k += 8) {
    const __m256 v = _mm256_loadu_ps(x + k);
    const int active = _mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_NEQ_UQ));
    other |= active & _mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_set1_ps(1), _CMP_NEQ_UQ));
    bits |= (uint64_t)(unsigned)active << k;
  }
  analog |= other != 0;
  for (; k < count; ++k) {
    bits |= (uint64_t)(x[k] != 0) << k;
    analog |= (x[k] != 0) & (x[k] != 1);
  }
  return bits;
}
#endif

// The places of bits that are set, counted from `first`: how many they are. Four at a time are written, so up to four
// numbers behind them are lost: how many bits a word has can't be foreseen, and a wrong guess takes longer than four.
inline int list_bits(uint64_t bits, int32_t first, int32_t* index) {
  const int count = __builtin_popcountll(bits);
  int done = 0;
  do {
    for (int j = 0; j < 4; ++j, bits &= bits - 1)
      index[done + j] = first + __builtin_ctzll(bits | (uint64_t)1 << 63);
    done += 4;
  } while (done < count);
  return count;
}

// The same, and no number behind them.
inline int list_bits_alone(uint64_t bits, int32_t first, int32_t* index) {
  int count = 0;
  for (; bits; bits &= bits - 1) index[count++] = first + __builtin_ctzll(bits);
  return count;
}

// The places of what is not zero; `analog` says whether one of them is not one either.
template <typename T>
inline int64_t norse_active(const T* x, int64_t count, int32_t* index, bool& analog) {
  int64_t found = 0;
  for (int64_t k = 0; k < count; k += 64)
    found += list_bits(active_bits<T>(x + k, (int)(count - k < 64 ? count - k : 64), analog), (int32_t)k, index + found);
  return found;
}

// The places of bits in rows of words, one row after the other: `last` is where those of all rows end.
inline int32_t* list_row(const uint64_t* words, int64_t count, int32_t* index, const int32_t* last) {
  for (int64_t word = 0; word < count; ++word)
    index += last - index >= 64 ? list_bits(words[word], (int32_t)(word * 64), index)
                                : list_bits_alone(words[word], (int32_t)(word * 64), index);
  return index;
}

}  // namespace
