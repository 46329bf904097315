// Numbers as bits. For C++ and for CUDA.
#pragma once

#ifndef NORSE_FUNCTION
#define NORSE_FUNCTION static inline
#endif

#if !defined(__CUDACC__)
template <typename To, typename From>
NORSE_FUNCTION To norse_bits(From from) {
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}
#endif

// condition ? a : b of a condition that is the same for all neurons. Compilers for processors (g++ 12) give up a loop
// with one; masks they can do in vectors.
NORSE_FUNCTION float norse_select(bool condition, float a, float b) {
#if defined(__CUDACC__)
  return condition ? a : b;
#else
  const unsigned mask = 0u - (unsigned)condition;
  return norse_bits<float>((norse_bits<unsigned>(a) & mask) | (norse_bits<unsigned>(b) & ~mask));
#endif
}

NORSE_FUNCTION double norse_select(bool condition, double a, double b) {
#if defined(__CUDACC__)
  return condition ? a : b;
#else
  const unsigned long long mask = 0ull - (unsigned long long)condition;
  return norse_bits<double>((norse_bits<unsigned long long>(a) & mask) | (norse_bits<unsigned long long>(b) & ~mask));
#endif
}
