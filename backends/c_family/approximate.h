// exp and tanh for fast_math=True: short polynomials that vectorise, where libm's are calls. For C++.
//
// exp(x) = 2^n exp(r), n the whole number next to x / ln 2, so that |r| <= ln 2 / 2. n comes from an addition that leaves
// no room for a fraction, ln 2 is subtracted in two parts, the first of which has so few digits that n times it is exact,
// and 2^n is multiplied in two steps, so that results may be subnormal or infinite. This is arithmetic in the order
// that is written: it must not be compiled with -fassociative-math.
// Error, measured (tests/compiler/test_fast_math.py): exp 1.1 ulp, tanh 1.4 ulp. 2 ulp are promised.
#pragma once

#include "bits.h"

NORSE_FUNCTION float norse_approximate_exp(float x) {
  const float lowest = -104.0f, highest = 89.0f, shift = 12582912.0f;  // 1.5 * 2^23
  const float held = x > lowest ? (x < highest ? x : highest) : lowest;
  const float shifted = held * 1.44269504f + shift;
  const float n = shifted - shift;
  const float r = (held - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;  // Cephes' expf
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * (r * r) + r) + 1.0f;
  const int whole = norse_bits<int>(shifted) - norse_bits<int>(shift), half = whole >> 1;
  const float first = norse_bits<float>((half + 127) << 23);
  const float second = norse_bits<float>((whole - half + 127) << 23);
  const float result = p * first * second;
  return x == x ? result : x;
}

NORSE_FUNCTION double norse_approximate_exp(double x) {
  const double lowest = -746.0, highest = 710.0, shift = 6755399441055744.0;  // 1.5 * 2^52
  const double held = x > lowest ? (x < highest ? x : highest) : lowest;
  const double shifted = held * 1.4426950408889634 + shift;
  const double n = shifted - shift;
  const double r = (held - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6;
  double p = 1.0 / 6227020800.0;  // the series of exp: its next term is 4e-18
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = (p * (r * r) + r) + 1.0;
  // Shifted by 2048, so that halves are those of positive numbers, which all machines' vectors can shift.
  const unsigned long long whole =
      norse_bits<unsigned long long>(shifted) - norse_bits<unsigned long long>(shift) + 2048;
  const unsigned long long half = whole >> 1;
  const double first = norse_bits<double>((half - 1) << 52);
  const double second = norse_bits<double>((whole - half - 1) << 52);
  const double result = p * first * second;
  return x == x ? result : x;
}

// Cephes' tanh: near zero x + x^3 P(x^2), so that small results keep their digits.
NORSE_FUNCTION float norse_approximate_tanh(float x) {
  const float z = x * x, size = x < 0 ? -x : x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float near = p * z * x + x;
  const float far = 1.0f - 2.0f / (norse_approximate_exp(2.0f * size) + 1.0f);
  return size < 0.625f ? near : (x < 0 ? -far : far);
}

NORSE_FUNCTION double norse_approximate_tanh(double x) {
  const double z = x * x, size = x < 0 ? -x : x;
  const double p = (-9.64399179425052238628e-1 * z - 9.92877231001918586564e1) * z - 1.61468768441708447952e3;
  const double q = ((z + 1.12811678491632931402e2) * z + 2.23548839060100448583e3) * z + 4.84406305325125486048e3;
  const double near = x * z * (p / q) + x;
  const double far = 1.0 - 2.0 / (norse_approximate_exp(2.0 * size) + 1.0);
  return size < 0.625 ? near : (x < 0 ? -far : far);
}
