// Lists of events, whatever numbers they are of: made from bits, cut into other rows, put beside each other.
#include <numeric>

#include "blocks.h"
#include "events.h"
#include "parallel.h"

extern "C" int64_t norse_count_bits(const uint64_t* bits, int64_t words) {
  int64_t sum = 0;
  for (int64_t word = 0; word < words; ++word) sum += __builtin_popcountll(bits[word]);
  return sum;
}

// begin[r + 1] = events up to row r. Returns how many there are, -1 if they are too many to be counted.
extern "C" int64_t norse_count_rows(const uint64_t* bits, int64_t words, int64_t rows, int32_t* begin) {
  int64_t sum = begin[0] = 0;
  for (int64_t row = 0; row < rows; ++row) {
    sum += norse_count_bits(bits + row * words, words);
    if (sum > INT32_MAX - 64) return -1;
    begin[row + 1] = (int32_t)sum;
  }
  return sum;
}

// The places of the bits, row after row.
extern "C" void norse_list_rows(const uint64_t* bits, int64_t words, int64_t rows, const int32_t* begin, int32_t* index,
                                int64_t threads, gomp_parallel gomp) {
  const int64_t tasks = smaller(rows, 64);
  for_each_task(tasks, threads, gomp, [&](int64_t task) {
    const int64_t first = rows * task / tasks, end = rows * (task + 1) / tasks;
    for (int64_t row = first; row < end; ++row)
      list_row(bits + row * words, words, index + begin[row], index + begin[end]);
  });
}

// The same events in rows of another length: an event keeps its place among all values.
extern "C" void norse_cut_rows(const int32_t* begin, const int32_t* index, int64_t rows, int64_t inputs, int64_t length,
                               int32_t* to_begin, int32_t* to_index, int64_t threads, gomp_parallel gomp) {
  const int64_t together = std::lcm(inputs, length), old_rows = together / inputs, new_rows = together / length;
  const int64_t groups = rows / old_rows, tasks = smaller(groups, 64);
  to_begin[0] = 0;
  for_each_task(tasks, threads, gomp, [&](int64_t task) {
    for (int64_t group = groups * task / tasks; group < groups * (task + 1) / tasks; ++group) {
      int32_t* to = to_begin + group * new_rows + 1;
      int32_t* const end = to + new_rows;
      int64_t passed = 0;  // values before the row of `to`
      for (int64_t row = 0; row < old_rows; ++row) {
        const int32_t* range = begin + group * old_rows + row;
        for (int32_t e = range[0]; e < range[1]; ++e) {
          const int64_t place = row * inputs + index[e];
          for (; place >= passed + length; passed += length) *to++ = e;
          to_index[e] = (int32_t)(place - passed);
        }
      }
      while (to < end) *to++ = begin[(group + 1) * old_rows];
    }
  });
}

struct norse_list {
  const int32_t *begin, *index;
  const char* value;  // null in all lists, or in none
  int64_t inputs;
};

// Every row of each list behind that of the list before it.
extern "C" void norse_join_rows(const norse_list* lists, int64_t count, int64_t rows, int64_t element_size,
                                int32_t* begin, int32_t* index, char* value) {
  int32_t made = begin[0] = 0;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t before = 0;
    for (int64_t k = 0; k < count; before += lists[k++].inputs) {
      const norse_list& from = lists[k];
      const int32_t first = from.begin[row], events = from.begin[row + 1] - first;
      for (int32_t e = 0; e < events; ++e) index[made + e] = (int32_t)(before + from.index[first + e]);
      if (value) memcpy(value + made * element_size, from.value + first * element_size, events * element_size);
      made += events;
    }
    begin[row + 1] = made;
  }
}
