#pragma once
// CUDA on host threads: as much of the language as the kernels speak, for g++ and clang++. Blocks run one
// after the other (or one on each of a few host threads); a block's CUDA threads are fibers that take
// turns, switched only at barriers and warp collectives. Which of them goes first is what a test chooses:
//
//   config().order   kForward, kReverse, kShuffle: all threads as far as the next barrier or collective,
//                    kWarp: a warp as far as the next barrier of the block, then the next warp
//
// A kernel without races computes the same in all orders; one that misses a barrier does not, in at
// least one of them. What no order gets right is an error: threads of a block at different barriers or
// gone before one, a collective whose mask leaves out its caller or waits for a lane that does not come.
// Shared memory holds NaN when a block begins, and late_copies.h copies as late as it may.
//
//   cuda_on_host::launch(kernel, grid, block, shared_bytes, arguments...)
//   T* memory = cuda_on_host::dynamic_shared<T>();
//
// Not modelled: that threads of a GPU run at once, so weak memory order and atomics that race; speed.
#include "cuda_on_host/collectives.h"
#include "cuda_on_host/intrinsics.h"
#include "cuda_on_host/late_copies.h"
#include "cuda_on_host/launch.h"
#include "cuda_on_host/runtime_api.h"
#include "cuda_on_host/scheduler.h"
#include "cuda_on_host/vectors.h"
