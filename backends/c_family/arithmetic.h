// Functions of the op table that C has no operator for, with torch's treatment of NaN. For C++ and for CUDA.
#pragma once

#include <cmath>
#include <cstdint>

#include "bits.h"

#define NORSE_BOTH(NAME, FLOAT, DOUBLE)                    \
  NORSE_FUNCTION float NAME(float x) { return FLOAT(x); } \
  NORSE_FUNCTION double NAME(double x) { return DOUBLE(x); }

NORSE_BOTH(norse_sqrt, sqrtf, sqrt)
NORSE_BOTH(norse_expm1, expm1f, expm1)
NORSE_BOTH(norse_log, logf, log)
NORSE_BOTH(norse_log1p, log1pf, log1p)
NORSE_BOTH(norse_sin, sinf, sin)
NORSE_BOTH(norse_cos, cosf, cos)
NORSE_BOTH(norse_asin, asinf, asin)
NORSE_BOTH(norse_acos, acosf, acos)
NORSE_BOTH(norse_atan, atanf, atan)
NORSE_BOTH(norse_exp2, exp2f, exp2)
NORSE_BOTH(norse_log2, log2f, log2)
NORSE_BOTH(norse_log10, log10f, log10)
NORSE_BOTH(norse_floor, floorf, floor)
NORSE_BOTH(norse_ceil, ceilf, ceil)
NORSE_BOTH(norse_round, rintf, rint)  // halves to even
NORSE_BOTH(norse_trunc, truncf, trunc)
NORSE_BOTH(norse_erf, erff, erf)
NORSE_BOTH(norse_abs, fabsf, fabs)

#ifdef NORSE_FAST_MATH
#include "approximate.h"
NORSE_BOTH(norse_exp, norse_approximate_exp, norse_approximate_exp)
NORSE_BOTH(norse_tanh, norse_approximate_tanh, norse_approximate_tanh)
#else
NORSE_BOTH(norse_exp, expf, exp)
NORSE_BOTH(norse_tanh, tanhf, tanh)
#endif

#define NORSE_BOTH_OF_TWO(NAME, FLOAT, DOUBLE)                         \
  NORSE_FUNCTION float NAME(float x, float y) { return FLOAT(x, y); } \
  NORSE_FUNCTION double NAME(double x, double y) { return DOUBLE(x, y); }

NORSE_BOTH_OF_TWO(norse_pow, powf, pow)
NORSE_BOTH_OF_TWO(norse_fmod, fmodf, fmod)
NORSE_BOTH_OF_TWO(norse_atan2, atan2f, atan2)

template <typename T>
NORSE_FUNCTION T norse_relu(T x) {
  return x < 0 ? (T)0 : x;
}

// By their bits, which also holds where the compiler may take all numbers for finite.
NORSE_FUNCTION bool norse_isfinite(bool) { return true; }

NORSE_FUNCTION bool norse_isfinite(float x) {
  const union { float number; uint32_t bits; } seen = {x};
  return (seen.bits & 0x7f800000u) != 0x7f800000u;
}

NORSE_FUNCTION bool norse_isfinite(double x) {
  const union { double number; uint64_t bits; } seen = {x};
  return (seen.bits & 0x7ff0000000000000u) != 0x7ff0000000000000u;
}

template <typename T>
NORSE_FUNCTION T norse_sign(T x) {
  return x > 0 ? (T)1 : (x < 0 ? (T)-1 : (T)0);
}

template <typename T>
NORSE_FUNCTION T norse_maximum(T a, T b) {
  return a > b || a != a ? a : b;
}

template <typename T>
NORSE_FUNCTION T norse_minimum(T a, T b) {
  return a < b || a != a ? a : b;
}

// The sign of b, as Python has it.
template <typename T>
NORSE_FUNCTION T norse_remainder(T a, T b) {
  const T rest = norse_fmod(a, b);
  return rest != 0 && (b < 0) != (rest < 0) ? rest + b : rest;
}

template <typename T>
NORSE_FUNCTION T norse_softplus(T x, T beta, T threshold) {
  return x * beta > threshold ? x : norse_log1p(norse_exp(x * beta)) / beta;
}

template <typename T>
NORSE_FUNCTION T norse_lerp(T a, T b, T weight) {
  return norse_abs(weight) < (T)0.5 ? a + weight * (b - a) : b - (b - a) * (1 - weight);
}
