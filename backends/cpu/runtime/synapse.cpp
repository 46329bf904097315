// Event-driven synapses: what a linear layer computes of rows that are mostly zero, forward and backward, without
// touching the zeros. One library for each NORSE_NUMBER (float, double).
//
// Neurons are cut into blocks of at most 64. The weights of a block, transposed, stay in the cache while all rows pass:
//   gather   out[r, n] = bias[n] + sum over active k of x[r, k] W[n, k]      a block's sums stay in registers
//   outer    dW[n, k]  = sum over rows r with active k of g[r, n] x[r, k]    a block of dW stays in the cache
// Every block is written by one task alone, in the order of the rows: results do not depend on the number of threads.
#include <vector>

#include "event_blocks.h"
#include "norse_kernel.h"
#include "parallel.h"

namespace {

// How the work is cut: into blocks of `width` neurons, and where these are few, into parts of the rows.
struct tasks {
  int64_t width, blocks, parts, rows;
  int64_t count() const { return blocks * parts; }
  row_range part(int64_t number) const {
    const int64_t first = rows * number / parts;
    return {first, rows * (number + 1) / parts - first};
  }
};

template <typename T>
tasks cut(int64_t rows, int64_t inputs, int64_t neurons) {
  const int64_t width = block_width<T>(inputs, neurons, lanes<T>::count);
  const int64_t blocks = (neurons + width - 1) / width;
  return {width, blocks, blocks >= 8 ? 1 : larger(1, smaller(8 / blocks, rows / 256)), rows};
}

template <typename T>
int gather(const events<T>& x, const T* weight, const T* bias, T* out, int64_t rows, int64_t inputs, int64_t neurons,
           int64_t threads, gomp_parallel gomp) {
  const tasks work = cut<T>(rows, inputs, neurons);
  std::atomic<bool> failed{false};
  for_each_task(work.count(), threads, gomp, [&](int64_t task) {
    const int64_t first = task / work.parts * work.width, part = task % work.parts;
    const int64_t real = smaller(work.width, neurons - first);
    T* packed = (T*)block_memory().of(inputs * work.width * sizeof(T));
    if (!packed) {
      failed = true;
      return;
    }
    pack(weight, inputs, first, neurons, work.width, packed);
    const row_range own = work.part(part);
    NORSE_OF_WIDTH(gather_block, work.width, x, own, packed, bias ? bias + first : nullptr,
                   out + own.first * neurons + first, neurons, real)
  });
  return failed ? 3 : 0;
}

template <typename T>
int outer(const events<T>& x, const T* grad, T* weight, int64_t rows, int64_t inputs, int64_t neurons,
          int64_t threads, gomp_parallel gomp) {
  const tasks work = cut<T>(rows, inputs, neurons);
  const int64_t block = inputs * work.width;
  aligned_memory parts;  // where rows are cut: a sum each, added up in the order of the parts
  T* sums = work.parts == 1 ? nullptr : (T*)parts.of(work.count() * block * sizeof(T));
  if (work.parts > 1 && !sums) return 3;
  std::atomic<bool> failed{false};
  for_each_task(work.count(), threads, gomp, [&](int64_t task) {
    const int64_t first = task / work.parts * work.width, part = task % work.parts;
    const int64_t real = smaller(work.width, neurons - first);
    T* packed = sums ? sums + task * block : (T*)block_memory().of(block * sizeof(T));
    if (!packed) {
      failed = true;
      return;
    }
    memset(packed, 0, block * sizeof(T));
    const row_range own = work.part(part);
    NORSE_OF_WIDTH(outer_block, work.width, x, own, grad + own.first * neurons + first, neurons, packed, real)
    if (!sums) unpack(packed, inputs, first, neurons, work.width, weight);
  });
  if (sums)
    for_each_task(work.blocks, threads, gomp, [&](int64_t number) {
      T* sum = sums + number * work.parts * block;
      for (int64_t part = 1; part < work.parts; ++part)
        for (int64_t k = 0; k < block; ++k) sum[k] += sum[part * block + k];
      unpack(sum, inputs, number * work.width, neurons, work.width, weight);
    });
  return failed ? 3 : 0;
}

// The bits of what is active in each row, and begin[r + 1] = events up to row r. Returns the number of events, or -1 if
// they are more than `most`.
template <typename T>
int64_t find(const T* x, int64_t rows, int64_t inputs, int64_t most, uint64_t* bits, int32_t* begin, int32_t* analog,
             int64_t threads, gomp_parallel gomp) {
  const int64_t words = (inputs + 63) / 64, tasks = smaller(rows, 64);
  std::atomic<bool> others{false};
  std::atomic<int64_t> all{0};
  for_each_task(tasks, threads, gomp, [&](int64_t task) {
    if (all > most) return;  // of rows that are full, a few tell enough
    bool other = false;
    int64_t here = 0;
    for (int64_t row = rows * task / tasks; row < rows * (task + 1) / tasks; ++row) {
      int32_t count = 0;
      for (int64_t word = 0; word < words; ++word) {
        const int64_t k = word * 64;
        const uint64_t found = active_bits<T>(x + row * inputs + k, (int)smaller(64, inputs - k), other);
        bits[row * words + word] = found;
        count += __builtin_popcountll(found);
      }
      begin[row + 1] = count;
      here += count;
    }
    all += here;
    if (other) others = true;
  });
  if (all > most) return -1;
  int64_t sum = begin[0] = 0;
  for (int64_t row = 0; row < rows; ++row) {
    sum += begin[row + 1];
    begin[row + 1] = (int32_t)sum;
  }
  *analog = others;
  return sum;
}

// The same in one pass, on one thread: the places are left in memory of the thread's own, `listed`.
thread_local std::vector<int32_t> listed;

template <typename T>
int64_t find_and_list(const T* x, int64_t rows, int64_t inputs, int64_t most, int32_t* begin, int32_t* analog) {
  bool other = false;
  int64_t count = begin[0] = 0;
  for (int64_t row = 0; row < rows; ++row) {
    if ((int64_t)listed.size() < count + inputs + 64) listed.resize(2 * (count + inputs) + 64);
    for (int64_t k = 0; k < inputs; k += 64)
      count += list_bits(active_bits<T>(x + row * inputs + k, (int)smaller(64, inputs - k), other), (int32_t)k,
                         listed.data() + count);
    if (count > most) return -1;
    begin[row + 1] = (int32_t)count;
  }
  *analog = other;
  return count;
}

template <typename T>
void list(const T* x, int64_t rows, int64_t inputs, const uint64_t* bits, const int32_t* begin, int32_t* index,
          T* value, int64_t threads, gomp_parallel gomp) {
  const int64_t words = (inputs + 63) / 64, tasks = smaller(rows, 64);
  for_each_task(tasks, threads, gomp, [&](int64_t task) {
    const int64_t first = rows * task / tasks, end = rows * (task + 1) / tasks;
    for (int64_t row = first; row < end; ++row) {
      list_row(bits + row * words, words, index + begin[row], index + begin[end]);
      if (value)
        for (int32_t e = begin[row]; e < begin[row + 1]; ++e) value[e] = x[row * inputs + index[e]];
    }
  });
}

// The matrix of which these are the events.
template <typename T>
void fill(const events<T>& x, T* out, int64_t rows, int64_t inputs, int64_t threads, gomp_parallel gomp) {
  const int64_t tasks = smaller(rows, 64);
  for_each_task(tasks, threads, gomp, [&](int64_t task) {
    const int64_t first = rows * task / tasks, end = rows * (task + 1) / tasks;
    memset(out + first * inputs, 0, (end - first) * inputs * sizeof(T));
    for (int64_t row = first; row < end; ++row)
      for (int32_t e = x.begin[row]; e < x.begin[row + 1]; ++e) out[row * inputs + x.index[e]] = x.value ? x.value[e] : 1;
  });
}

// A row's wanted products, some at a time: each reads the row of `columns` that it needs, all share that of g.
template <typename T, int Products>
void dot(const T* g, const T* columns, const int32_t* index, T* out, int64_t neurons) {
  typedef typename lanes<T>::type vector;
  const int64_t lane = lanes<T>::count;
  const T* w[Products];
  for (int p = 0; p < Products; ++p) w[p] = columns + index[p] * neurons;
  vector sum[Products] = {};
  int64_t n = 0;
  for (; n + lane <= neurons; n += lane)
    for (int p = 0; p < Products; ++p)
      sum[p] = multiply_add(*(const vector*)(g + n), *(const vector*)(w[p] + n), sum[p]);
  for (int p = 0; p < Products; ++p) {
    T total = 0;
    for (int64_t k = 0; k < lane; ++k) total += sum[p][k];
    for (int64_t k = n; k < neurons; ++k) total += g[k] * w[p][k];
    out[index[p]] = total;
  }
}

// Inputs are cut so that their columns stay in the cache while all rows pass.
template <typename T>
void product_where(const uint64_t* bits, const T* grad, const T* columns, T* out, int64_t rows, int64_t inputs,
                   int64_t neurons, int64_t threads, gomp_parallel gomp) {
  const int64_t words = (inputs + 63) / 64, cache = 1 << 19;
  const int64_t together = larger(1, smaller(words, cache / (64 * neurons * (int64_t)sizeof(T))));
  const int64_t blocks = (words + together - 1) / together, parts = smaller(rows, 64);
  for_each_task(blocks * parts, threads, gomp, [&](int64_t task) {
    const int64_t first = task / parts * together, last = smaller(first + together, words), part = task % parts;
    for (int64_t row = rows * part / parts; row < rows * (part + 1) / parts; ++row) {
      T* to = out + row * inputs;
      memset(to + first * 64, 0, (smaller(last * 64, inputs) - first * 64) * sizeof(T));
      for (int64_t word = first; word < last; ++word) {
        int32_t index[64];
        int found = 0, done = 0;
        for (uint64_t left = bits[row * words + word]; left; left &= left - 1)
          index[found++] = (int32_t)(word * 64 + __builtin_ctzll(left));
        for (; done + 4 <= found; done += 4) dot<T, 4>(grad + row * neurons, columns, index + done, to, neurons);
        for (; done < found; ++done) dot<T, 1>(grad + row * neurons, columns, index + done, to, neurons);
      }
    }
  });
}

}  // namespace

using number = NORSE_NUMBER;

extern "C" int64_t norse_find(const number* x, int64_t rows, int64_t inputs, int64_t most, uint64_t* bits,
                              int32_t* begin, int32_t* analog, int64_t threads, gomp_parallel gomp) {
  return find<number>(x, rows, inputs, most, bits, begin, analog, threads, gomp);
}
extern "C" int64_t norse_find_and_list(const number* x, int64_t rows, int64_t inputs, int64_t most, int32_t* begin,
                                       int32_t* analog) {
  return find_and_list<number>(x, rows, inputs, most, begin, analog);
}
// What this thread has listed last, with the values in those places if `value` is given.
extern "C" void norse_take_listed(const number* x, int64_t rows, int64_t inputs, const int32_t* begin, int32_t* index,
                                  number* value) {
  if (begin[rows]) memcpy(index, listed.data(), begin[rows] * sizeof(int32_t));
  if (value)
    for (int64_t row = 0; row < rows; ++row)
      for (int32_t e = begin[row]; e < begin[row + 1]; ++e) value[e] = x[row * inputs + index[e]];
}
extern "C" void norse_list(const number* x, int64_t rows, int64_t inputs, const uint64_t* bits, const int32_t* begin,
                           int32_t* index, number* value, int64_t threads, gomp_parallel gomp) {
  list<number>(x, rows, inputs, bits, begin, index, value, threads, gomp);
}
extern "C" void norse_fill(const int32_t* begin, const int32_t* index, const number* value, number* out, int64_t rows,
                           int64_t inputs, int64_t threads, gomp_parallel gomp) {
  fill<number>({begin, index, value}, out, rows, inputs, threads, gomp);
}
extern "C" int norse_gather(const int32_t* begin, const int32_t* index, const number* value, const number* weight,
                            const number* bias, number* out, int64_t rows, int64_t inputs, int64_t neurons,
                            int64_t threads, gomp_parallel gomp) {
  return gather<number>({begin, index, value}, weight, bias, out, rows, inputs, neurons, threads, gomp);
}
extern "C" void norse_product_where(const uint64_t* bits, const number* grad, const number* columns, number* out,
                                    int64_t rows, int64_t inputs, int64_t neurons, int64_t threads,
                                    gomp_parallel gomp) {
  product_where<number>(bits, grad, columns, out, rows, inputs, neurons, threads, gomp);
}
extern "C" int norse_outer(const int32_t* begin, const int32_t* index, const number* value, const number* grad,
                           number* weight, int64_t rows, int64_t inputs, int64_t neurons, int64_t threads,
                           gomp_parallel gomp) {
  return outer<number>({begin, index, value}, grad, weight, rows, inputs, neurons, threads, gomp);
}
