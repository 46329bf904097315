// Pooling with torch's bits: of values, averages over windows that don't overlap (a window's sum runs along its rows,
// from zero), and of events averages and largest values.
#include <vector>

#include "blocks.h"
#include "norse_kernel.h"
#include "parallel.h"
#include "rows.h"

namespace {

const int64_t chunk_bytes = 1 << 16;  // planes that a thread takes at a time

template <typename Body>
void for_each_plane(int64_t planes, int64_t plane_bytes, int64_t threads, gomp_parallel gomp, const Body& body) {
  const int64_t chunk = chunk_bytes / (plane_bytes + 1) + 1;
  for_each_task((planes + chunk - 1) / chunk, threads, gomp, [&](int64_t task) {
    for (int64_t plane = task * chunk; plane < planes && plane < (task + 1) * chunk; ++plane) body(plane);
  });
}

// One row of windows. Constant sizes of a window are known to the compiler.
template <typename T>
inline void average_row(const T* NORSE_RESTRICT x, int64_t width, T* NORSE_RESTRICT out, int64_t out_width,
                        int64_t high, int64_t wide) {
  NORSE_VECTORISE
  for (int64_t o = 0; o < out_width; ++o) {
    T sum = 0;
    for (int64_t i = 0; i < high; ++i)
      for (int64_t j = 0; j < wide; ++j) sum += x[i * width + o * wide + j];
    out[o] = sum / (T)(high * wide);
  }
}

template <typename T>
inline void spread_row(const T* NORSE_RESTRICT grad, int64_t out_width, T* NORSE_RESTRICT x, int64_t width,
                       int64_t high, int64_t wide) {
  for (int64_t i = 0; i < high; ++i) {
    T* row = x + i * width;
    NORSE_VECTORISE
    for (int64_t o = 0; o < out_width; ++o) {
      const T share = 0 + grad[o] / (T)(high * wide);
      for (int64_t j = 0; j < wide; ++j) row[o * wide + j] = share;
    }
    for (int64_t k = out_width * wide; k < width; ++k) row[k] = 0;
  }
}

template <typename T>
void average(const T* x, T* out, int64_t planes, int64_t height, int64_t width, int64_t high, int64_t wide,
             int64_t threads, gomp_parallel gomp) {
  const int64_t out_height = height / high, out_width = width / wide;
  for_each_plane(planes, height * width * sizeof(T), threads, gomp, [&](int64_t plane) {
    const T* from = x + plane * height * width;
    T* to = out + plane * out_height * out_width;
    for (int64_t o = 0; o < out_height; ++o, from += high * width, to += out_width)
      if (high == 2 && wide == 2)
        average_row(from, width, to, out_width, 2, 2);
      else
        average_row(from, width, to, out_width, high, wide);
  });
}

template <typename T>
void spread(const T* grad, T* x, int64_t planes, int64_t height, int64_t width, int64_t high, int64_t wide,
            int64_t threads, gomp_parallel gomp) {
  const int64_t out_height = height / high, out_width = width / wide;
  for_each_plane(planes, height * width * sizeof(T), threads, gomp, [&](int64_t plane) {
    const T* from = grad + plane * out_height * out_width;
    T* to = x + plane * height * width;
    for (int64_t o = 0; o < out_height; ++o, to += high * width, from += out_width)
      if (high == 2 && wide == 2)
        spread_row(from, out_width, to, width, 2, 2);
      else
        spread_row(from, out_width, to, width, high, wide);
    for (T* end = x + (plane + 1) * height * width; to < end; ++to) *to = 0;
  });
}

}  // namespace

// All sizes of a pooling; a plane is a channel of a sample.
struct norse_windows {
  int64_t planes, height, width, out_height, out_width, high, wide, stride_y, stride_x, padding_y, padding_x;

  int64_t top(int64_t y) const { return larger(0, y * stride_y - padding_y); }
  int64_t left(int64_t x) const { return larger(0, x * stride_x - padding_x); }
  // The windows that an event is in are at most so many.
  int64_t overlap() const {
    return ((high + stride_y - 1) / stride_y) * ((wide + stride_x - 1) / stride_x);
  }
};

namespace {

// Rows of pixels as bits: a sample's are one row of words, with a word more behind the last.
struct pixel_bits {
  const uint64_t* words;
  int64_t stride, planes;  // words of a sample, and its planes
};

// `count` bits from place `at` on.
inline uint64_t bits_at(const uint64_t* words, int64_t at, int64_t count) {
  const int shift = at & 63;
  uint64_t found = words[at / 64] >> shift;
  if (shift) found |= words[at / 64 + 1] << (64 - shift);
  return count < 64 ? found & (((uint64_t)1 << count) - 1) : found;
}

const int64_t most_tasks = 64;

// Some planes each, and how many events are before them.
struct pooling_tasks {
  std::vector<int64_t> planes, before;
};

// What windows make of the events in each row of pixels: their sum, divided, or the largest, of which `source` tells the
// place in its plane. Values are positive where the largest is asked for; spikes may be given as bits.
template <typename T>
struct pooled {
  norse_windows of;
  events<T> x;
  pixel_bits bits;
  bool largest;
  T divisor;
  int32_t *begin, *index;  // of the result, with room for overlap() times the events, and three more for each task
  T* value;  // null: all are one
  int32_t* source;
  std::vector<int32_t> first, last;  // of the windows that each column is in

  // A row of windows that is being made.
  struct row_of_windows {
    std::vector<T> best;
    std::vector<int32_t> at;
    std::vector<uint64_t> touched;  // bits
  };

  void columns() {
    for (int64_t x = 0; x < of.width; ++x) {
      const int64_t from = x + of.padding_x - of.wide + 1;
      first.push_back((int32_t)(from <= 0 ? 0 : (from + of.stride_x - 1) / of.stride_x));
      last.push_back((int32_t)smaller(of.out_width - 1, (x + of.padding_x) / of.stride_x));
    }
  }

  void add(int64_t y, int32_t column, T v, row_of_windows& to) const {
    for (int32_t o = first[column]; o <= last[column]; ++o) {
      to.touched[o / 64] |= (uint64_t)1 << (o & 63);
      if (!largest)
        to.best[o] += v;
      else if (v > to.best[o]) {
        to.best[o] = v;
        to.at[o] = (int32_t)(y * of.width + column);
      }
    }
  }

  void put(int64_t place, int64_t o, T sum, int32_t from) const {
    index[place] = (int32_t)o;
    if (value) value[place] = sum / divisor;
    if (source) source[place] = from;
  }

  // Where a plane's bits are: its sample's words, and its place among them.
  struct plane_bits {
    const uint64_t* words;
    int64_t at;
  };
  plane_bits bits_of(int64_t plane) const {
    if (!bits.words) return {nullptr, 0};
    return {bits.words + plane / bits.planes * bits.stride, plane % bits.planes * of.height * of.width};
  }

  // Writes the events of a row of windows from place `made` on; returns where they end.
  int64_t row(int64_t plane, const plane_bits& own, int64_t y, int64_t made, row_of_windows& to) const {
    const int64_t top = of.top(y), bottom = smaller(of.height, y * of.stride_y - of.padding_y + of.high);
    if (!own.words) {
      const int32_t* rows = x.begin + plane * of.height;
      if (top >= bottom || rows[top] == rows[bottom]) return made;
      for (int64_t from = top; from < bottom; ++from)
        for (int32_t e = rows[from]; e < rows[from + 1]; ++e) add(from, x.index[e], x.value ? x.value[e] : 1, to);
    } else {
      for (int64_t from = top; from < bottom; ++from) {
        const int64_t at = own.at + from * of.width;
        for (int64_t k = 0; k < of.width; k += 64)
          for (uint64_t left = bits_at(own.words, at + k, of.width - k); left; left &= left - 1)
            add(from, (int32_t)k + __builtin_ctzll(left), 1, to);
      }
    }
    for (size_t word = 0; word < to.touched.size(); ++word) {
      for (uint64_t left = to.touched[word]; left; left &= left - 1) {
        const int64_t o = word * 64 + __builtin_ctzll(left);
        if (to.best[o] != 0) put(made++, o, to.best[o], to.at[o]);
        to.best[o] = 0;
      }
      to.touched[word] = 0;
    }
    return made;
  }

  // The same of bits under windows of two by two that don't overlap: two rows are looked at at once. As in `list_bits`,
  // four windows are written at a time, so up to three places behind them are lost.
  template <bool Values, bool Sources>
  int64_t row_of_pairs(const plane_bits& own, int64_t y, int64_t made, const T* shares) const {
    const int64_t at = own.at + 2 * y * of.width;
    for (int64_t k = 0; k < 2 * of.out_width; k += 64) {
      const int64_t count = 2 * of.out_width - k;
      const uint64_t a = bits_at(own.words, at + k, count), b = bits_at(own.words, at + of.width + k, count);
      uint64_t left = ((a | b) | (a | b) >> 1) & 0x5555555555555555u;
      const int found = __builtin_popcountll(left);
      for (int done = 0; done < found; done += 4)
        for (int64_t place = made + done; place < made + done + 4; ++place, left &= left - 1) {
          const int j = __builtin_ctzll(left | (uint64_t)1 << 63), four = (int)(a >> j & 3) | (int)(b >> j & 3) << 2;
          const int one = __builtin_ctz(four | 8);  // the first
          index[place] = (int32_t)((k + j) / 2);
          if (Values) value[place] = shares[four];
          if (Sources) source[place] = (int32_t)((2 * y + (one >> 1)) * of.width + k + j + (one & 1));
        }
      made += found;
    }
    return made;
  }

  int64_t place(int64_t task, int64_t before) const { return before * of.overlap() + 3 * task; }

  // Each task writes where its events can't meet those of others; then the gaps close.
  int64_t run(const pooling_tasks& work, int64_t threads, gomp_parallel gomp) {
    const int64_t tasks = (int64_t)work.before.size();
    const bool pairs = bits.words && of.high == 2 && of.wide == 2 && of.stride_y == 2 && of.stride_x == 2 &&
                       of.padding_y == 0 && of.padding_x == 0;
    columns();
    T shares[16];  // what four bits give
    for (int four = 0; four < 16; ++four) shares[four] = largest ? 1 : (T)__builtin_popcount(four) / divisor;
    for_each_task(tasks, threads, gomp, [&](int64_t task) {
      row_of_windows to = {std::vector<T>(of.out_width), std::vector<int32_t>(of.out_width),
                           std::vector<uint64_t>((of.out_width + 63) / 64)};
      int64_t made = place(task, work.before[task]);
      for (int64_t plane = work.planes[task]; plane < work.planes[task + 1]; ++plane) {
        const plane_bits own = bits_of(plane);
        for (int64_t y = 0; y < of.out_height; ++y) {
          const int64_t end = !pairs   ? row(plane, own, y, made, to)
                              : source ? row_of_pairs<false, true>(own, y, made, shares)
                              : value  ? row_of_pairs<true, false>(own, y, made, shares)
                                       : row_of_pairs<false, false>(own, y, made, shares);
          begin[plane * of.out_height + y + 1] = (int32_t)(end - made);
          made = end;
        }
      }
    });
    int64_t sum = begin[0] = 0;
    for (int64_t task = 0; task < tasks; ++task) {
      const int64_t to = sum, from = place(task, work.before[task]);
      for (int64_t r = work.planes[task] * of.out_height; r < work.planes[task + 1] * of.out_height; ++r)
        begin[r + 1] = (int32_t)(sum += begin[r + 1]);
      memmove(index + to, index + from, (sum - to) * sizeof(int32_t));
      if (value) memmove(value + to, value + from, (sum - to) * sizeof(T));
      if (source) memmove(source + to, source + from, (sum - to) * sizeof(int32_t));
    }
    return sum;
  }
};

// The gradient of the largest: to the first of the largest in each window, as torch has it, which is the window's first
// place where all are zero.
template <typename T>
void spread_largest(const norse_windows& of, const int32_t* begin, const int32_t* index, const int32_t* source,
                    const T* grad, T* x, int64_t threads, gomp_parallel gomp) {
  for_each_plane(of.planes, of.height * of.width * sizeof(T), threads, gomp, [&](int64_t plane) {
    T* to = x + plane * of.height * of.width;
    memset(to, 0, of.height * of.width * sizeof(T));
    for (int64_t y = 0; y < of.out_height; ++y) {
      const int64_t row = plane * of.out_height + y;
      int32_t e = begin[row];
      for (int64_t o = 0; o < of.out_width; ++o) {
        const bool active = e < begin[row + 1] && index[e] == o;
        to[active ? source[e++] : of.top(y) * of.width + of.left(o)] += grad[row * of.out_width + o];
      }
    }
  });
}

}  // namespace

using number = NORSE_NUMBER;

extern "C" void norse_average(const number* x, number* out, int64_t planes, int64_t height, int64_t width, int64_t high,
                              int64_t wide, int64_t threads, gomp_parallel gomp) {
  average<number>(x, out, planes, height, width, high, wide, threads, gomp);
}
extern "C" void norse_spread(const number* grad, number* x, int64_t planes, int64_t height, int64_t width, int64_t high,
                             int64_t wide, int64_t threads, gomp_parallel gomp) {
  spread<number>(grad, x, planes, height, width, high, wide, threads, gomp);
}
// Of events in rows of pixels. Returns how many there are.
extern "C" int64_t norse_pool_events(const norse_windows* of, const int32_t* begin, const int32_t* index,
                                     const number* value, int32_t largest, number divisor, int32_t* to_begin,
                                     int32_t* to_index, number* to_value, int32_t* source, int64_t threads,
                                     gomp_parallel gomp) {
  const int64_t tasks = smaller(of->planes, most_tasks);
  pooling_tasks cut = {{0}, {}};
  for (int64_t task = 0; task < tasks; ++task) {
    cut.before.push_back(begin[cut.planes.back() * of->height]);
    cut.planes.push_back(of->planes * (task + 1) / tasks);
  }
  pooled<number> work = {*of, {begin, index, value}, {}, largest != 0, divisor, to_begin, to_index, to_value, source,
                         {}, {}};
  return work.run(cut, threads, gomp);
}
// Of bits: every sample, of so many planes, has `stride` words.
extern "C" int64_t norse_pool_bits(const norse_windows* of, const uint64_t* bits, int64_t stride, int64_t planes,
                                   int32_t largest, number divisor, int32_t* to_begin, int32_t* to_index,
                                   number* to_value, int32_t* source, int64_t threads, gomp_parallel gomp) {
  const int64_t samples = of->planes / planes, tasks = smaller(samples, most_tasks);
  pooling_tasks cut = {{0}, {}};
  int64_t events = 0;
  for (int64_t task = 0; task < tasks; ++task) {
    cut.before.push_back(events);
    cut.planes.push_back(samples * (task + 1) / tasks * planes);
    for (int64_t k = samples * task / tasks * stride; k < samples * (task + 1) / tasks * stride; ++k)
      events += __builtin_popcountll(bits[k]);
  }
  pooled<number> work = {*of, {}, {bits, stride, planes}, largest != 0, divisor, to_begin, to_index, to_value, source,
                         {}, {}};
  return work.run(cut, threads, gomp);
}
extern "C" void norse_spread_largest(const norse_windows* of, const int32_t* begin, const int32_t* index,
                                     const int32_t* source, const number* grad, number* x, int64_t threads,
                                     gomp_parallel gomp) {
  spread_largest<number>(*of, begin, index, source, grad, x, threads, gomp);
}
