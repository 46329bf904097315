// NVRTC has no standard headers: this is <cmath> for it. The functions themselves are built in.
#pragma once

#define NAN __int_as_float(0x7fffffff)
#define INFINITY __int_as_float(0x7f800000)
