// What kernels do to whole rows.
#pragma once

#include <cstring>

#include "events.h"
#include "lanes.h"
#include "norse_kernel.h"
#include "team.h"

// A loop whose iterations are independent: rows never overlap.
#if defined(__clang__)
#define NORSE_VECTORISE _Pragma("clang loop vectorize(enable) interleave(enable)")
#elif defined(__GNUC__)
#define NORSE_VECTORISE _Pragma("GCC ivdep")
#else
#define NORSE_VECTORISE
#endif

// Row `index` of the calling thread's scratch memory; rows are 64-byte aligned and hold 8 bytes a neuron.
static inline int64_t norse_row_bytes(int64_t count) { return (count * 8 + 63) / 64 * 64; }

template <typename T>
static inline int64_t norse_stride(int64_t count) {
  return norse_row_bytes(count) / sizeof(T);
}

template <typename T>
static inline T* norse_scratch(const norse_call* call, int64_t index, int64_t count) {
  return (T*)(call->scratch + index * norse_row_bytes(count));
}

template <typename T>
static inline void norse_copy(T* to, const T* from, int64_t count) {
  memcpy(to, from, count * sizeof(T));
}

// out[n .. n + Vectors lanes] of a row with few events: the sums stay in registers.
template <typename T, int Vectors>
static inline void norse_gather(const T* x, const int32_t* index, int64_t found, bool analog, const T* matrix, T* out,
                                int64_t outputs) {
  typedef typename lanes<T>::type vector;
  vector sum[Vectors] = {};
  if (analog)
    for (int64_t e = 0; e < found; ++e) {
      const vector* w = (const vector*)(matrix + index[e] * outputs);
      for (int j = 0; j < Vectors; ++j) sum[j] += x[index[e]] * w[j];
    }
  else
    for (int64_t e = 0; e < found; ++e) {
      const vector* w = (const vector*)(matrix + index[e] * outputs);
      for (int j = 0; j < Vectors; ++j) sum[j] += w[j];
    }
  for (int j = 0; j < Vectors; ++j) ((vector*)out)[j] = sum[j];
}

// The same for `Rows` rows without zeros: each row of the matrix is read once for all of them. The sums over so many
// inputs are added to what is in `out`, if there were others before.
template <typename T, int Rows, int Vectors>
static inline void norse_dense(const T* const* x, const T* matrix, T* const* out, int64_t n, int64_t begin, int64_t end,
                               int64_t outputs) {
  typedef typename lanes<T>::type vector;
  vector sum[Rows][Vectors] = {};
  if (begin)
    for (int r = 0; r < Rows; ++r)
      for (int j = 0; j < Vectors; ++j) sum[r][j] = ((const vector*)(out[r] + n))[j];
  for (int64_t k = begin; k < end; ++k) {
    const vector* w = (const vector*)(matrix + k * outputs + n);
    for (int r = 0; r < Rows; ++r) {
      const vector value = x[r][k] - vector{};
      for (int j = 0; j < Vectors; ++j) sum[r][j] = multiply_add(value, w[j], sum[r][j]);
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int j = 0; j < Vectors; ++j) ((vector*)(out[r] + n))[j] = sum[r][j];
}

// By some rows of the matrix at a time: they are pages apart, and of more than 16 the processor fetches none ahead.
// With more rows of x, sums are moved more often for each weight, so chunks are longer. Measured against whole columns,
// one row of x: 75 us became 57 for 1000 inputs and outputs, 430 became 235 for 2000; four rows of 512: 40 became 48
// with chunks of 16, and 42 with 64.
template <typename T, int Rows>
static inline void norse_dense_rows(const T* const* x, const T* matrix, T* const* out, int64_t inputs,
                                    int64_t outputs, int64_t columns) {
  const int64_t lane = lanes<T>::count, chunk = 16 * Rows * Rows;
  int64_t tail = 0;
  for (int64_t begin = 0; begin < inputs; begin += chunk) {
    const int64_t end = begin + chunk < inputs ? begin + chunk : inputs;
    int64_t n = 0;
    for (; n + 4 * lane <= columns; n += 4 * lane) norse_dense<T, Rows, 4>(x, matrix, out, n, begin, end, outputs);
    for (; n + lane <= columns; n += lane) norse_dense<T, Rows, 1>(x, matrix, out, n, begin, end, outputs);
    tail = n;
  }
  for (int64_t n = tail; n < columns; ++n)
    for (int r = 0; r < Rows; ++r) {
      T sum = 0;
      for (int64_t k = 0; k < inputs; ++k) sum += x[r][k] * matrix[k * outputs + n];
      out[r][n] = sum;
    }
}

template <typename T>
static inline void norse_gather_row(const T* x, const int32_t* index, int64_t found, bool analog, const T* matrix,
                                    T* out, int64_t outputs, int64_t columns) {
  const int64_t lane = lanes<T>::count;
  const int wide = lane_bytes == 64 ? 16 : 8;  // half of the machine's registers
  int64_t n = 0;
  for (; n + wide * lane <= columns; n += wide * lane)
    norse_gather<T, wide>(x, index, found, analog, matrix + n, out + n, outputs);
  for (; n + 4 * lane <= columns; n += 4 * lane)
    norse_gather<T, 4>(x, index, found, analog, matrix + n, out + n, outputs);
  for (; n + lane <= columns; n += lane) norse_gather<T, 1>(x, index, found, analog, matrix + n, out + n, outputs);
  for (; n < columns; ++n) {
    T sum = 0;
    for (int64_t e = 0; e < found; ++e) sum += x[index[e]] * matrix[index[e] * outputs + n];
    out[n] = sum;
  }
}

// out[n] = sum_k x[k] matrix[k, n] for the rows of all samples, which are so many values apart. A row with few events
// reads the matrix at these alone; others share what they read. A row's sum does not depend on the rows beside it.
// `index` has room for a row's places and three more. With a `member`, x and out are its range of longer rows: the sums
// are those of the whole rows, each in the same order, since ranges begin at multiples of all widths.
template <typename T>
static inline void norse_products(const T* x, int64_t x_stride, const T* NORSE_RESTRICT matrix, T* out,
                                  int64_t out_stride, int64_t samples, int64_t inputs, int64_t outputs,
                                  int32_t* index, norse_member* member = nullptr) {
  const T* dense[4];
  T* to[4];
  int waiting = 0;
  int64_t turn = 0, columns = outputs;
  if (member) {
    turn = norse_meet(member, x, x_stride, samples);
    matrix += member->begin;
    columns = member->end - member->begin;
    index = member->index;
  }
  for (int64_t sample = 0; sample < samples; ++sample, x += x_stride, out += out_stride) {
    bool analog = false;
    const T* row = member ? member->team->row<T>(turn, sample) : x;
    const int64_t found = member ? norse_active_of_all(member, turn, sample, analog)
                                 : norse_active(x, inputs, index, analog);
    if (found * 3 < inputs) {
      norse_gather_row(row, index, found, analog, matrix, out, outputs, columns);
      continue;
    }
    dense[waiting] = row;
    to[waiting] = out;
    if (++waiting < 4) continue;
    norse_dense_rows<T, 4>(dense, matrix, to, inputs, outputs, columns);
    waiting = 0;
  }
  if (waiting & 2) norse_dense_rows<T, 2>(dense, matrix, to, inputs, outputs, columns);
  if (waiting & 1) norse_dense_rows<T, 1>(dense + waiting - 1, matrix, to + waiting - 1, inputs, outputs, columns);
}
