// Functions of the op table that C has no operator for, with torch's treatment of NaN. For C++ and for CUDA.
#pragma once

#include <cmath>

#ifndef NORSE_FUNCTION
#define NORSE_FUNCTION static inline
#endif

#define NORSE_BOTH(NAME, FLOAT, DOUBLE)                    \
  NORSE_FUNCTION float NAME(float x) { return FLOAT(x); } \
  NORSE_FUNCTION double NAME(double x) { return DOUBLE(x); }

NORSE_BOTH(norse_sqrt, sqrtf, sqrt)
NORSE_BOTH(norse_exp, expf, exp)
NORSE_BOTH(norse_expm1, expm1f, expm1)
NORSE_BOTH(norse_log, logf, log)
NORSE_BOTH(norse_log1p, log1pf, log1p)
NORSE_BOTH(norse_sin, sinf, sin)
NORSE_BOTH(norse_cos, cosf, cos)
NORSE_BOTH(norse_tanh, tanhf, tanh)
NORSE_BOTH(norse_erf, erff, erf)
NORSE_BOTH(norse_abs, fabsf, fabs)

NORSE_FUNCTION float norse_pow(float x, float y) { return powf(x, y); }
NORSE_FUNCTION double norse_pow(double x, double y) { return pow(x, y); }

template <typename T>
NORSE_FUNCTION T norse_relu(T x) {
  return x < 0 ? (T)0 : x;
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
