// NVRTC has no standard headers: this is <cstdint> for it, as far as kernels use it.
#pragma once

typedef int int32_t;
typedef long long int64_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
