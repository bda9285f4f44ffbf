#include "scatter.h"

#include "lanes.h"

namespace snn {
namespace {

// A spike at a time, each added to the sums in memory. K is the kernel size, or 0 for any other.
template <class V, int K>
void by_spike(int any_kernel, const uint32_t* bits, int stride, int words, const uint32_t* only, int height,
              int width, const V* weight, V* sums) {
    const int kernel = K ? K : any_kernel, padded_width = width + kernel - 1;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const uint32_t* at = bits + (static_cast<size_t>(y) * width + x) * stride;
            V* corner = sums + static_cast<size_t>(y) * padded_width + x;
            for (int i = 0; i < words; i++)
                for (uint32_t left = at[i] & only[i]; left; left &= left - 1) {
                    const V* row = weight + static_cast<size_t>(i * 32 + __builtin_ctz(left)) * kernel * kernel;
#pragma GCC unroll 7
                    for (int ky = 0; ky < kernel; ky++)
#pragma GCC unroll 7
                        for (int kx = 0; kx < kernel; kx++)
                            corner[static_cast<size_t>(ky) * padded_width + kx] += row[ky * kernel + kx];
                }
        }
}

// K x K sums in registers, a window that slides along a row of the input: one load and one addition for each vector of
// weights, and K loads and stores for each position in place of K x K for each spike. Column S of the window is first.
template <class V, int K, int S>
SNN_INLINE void window_step(V (&window)[K][K], const uint32_t* at, int words, const uint32_t* only, const V* weight,
                            V* corner, int padded_width) {
    for (int i = 0; i < words; i++)
        for (uint32_t left = at[i] & only[i]; left; left &= left - 1) {
            const V* row = weight + static_cast<size_t>(i * 32 + __builtin_ctz(left)) * K * K;
#pragma GCC unroll 5
            for (int ky = 0; ky < K; ky++)
#pragma GCC unroll 5
                for (int kx = 0; kx < K; kx++) window[ky][(kx + S) % K] += row[ky * K + kx];
        }
#pragma GCC unroll 5
    for (int ky = 0; ky < K; ky++) {
        corner[static_cast<size_t>(ky) * padded_width] += window[ky][S % K];
        window[ky][S % K] = V{};
    }
}

// What is left in the window at the end of a row.
template <class V, int K, int S> SNN_INLINE void window_end(const V (&window)[K][K], V* corner, int padded_width) {
#pragma GCC unroll 5
    for (int j = 0; j < K - 1; j++)
#pragma GCC unroll 5
        for (int ky = 0; ky < K; ky++)
            corner[static_cast<size_t>(ky) * padded_width + j] += window[ky][(j + S) % K];
}

template <class V, int K>
__attribute__((noinline)) void by_window(const uint32_t* bits, int stride, int words, const uint32_t* only, int height,
                                         int width, const V* weight, V* sums) {
    static_assert(K == 3 || K == 5, "the steps below are written out for five columns at most");
    const int padded_width = width + K - 1;
    for (int y = 0; y < height; y++) {
        V window[K][K];
#pragma GCC unroll 5
        for (int ky = 0; ky < K; ky++)
#pragma GCC unroll 5
            for (int kx = 0; kx < K; kx++) window[ky][kx] = V{};
        V* corner = sums + static_cast<size_t>(y) * padded_width;
        const uint32_t* at = bits + static_cast<size_t>(y) * width * stride;
        for (int x = 0;; x += K) {
#define SNN_COLUMN(S)                                                                  \
    if constexpr (S < K) {                                                             \
        if (x + S == width) {                                                          \
            window_end<V, K, S>(window, corner, padded_width);                         \
            break;                                                                     \
        }                                                                              \
        window_step<V, K, S>(window, at, words, only, weight, corner++, padded_width); \
        at += stride;                                                                  \
    }
            SNN_COLUMN(0)
            SNN_COLUMN(1)
            SNN_COLUMN(2)
            SNN_COLUMN(3)
            SNN_COLUMN(4)
#undef SNN_COLUMN
        }
    }
}

template <class V>
void choose(int kernel, const uint32_t* bits, int stride, const uint32_t* only, int height, int width, const V* weight,
            V* sums) {
    int words = stride, channels = 0;  // of a position there are `stride` words, of which the group has some
    while (words > 1 && only[words - 1] == 0) words--;
    for (; words > 1 && *only == 0; words--) bits++, only++, weight += 32 * kernel * kernel;
    for (int i = 0; i < words; i++) channels += __builtin_popcount(only[i]);
    if (wide && channels >= 4) {  // the window needs 25 registers and pays where there are several spikes a position
        if (kernel == 3) return by_window<V, 3>(bits, stride, words, only, height, width, weight, sums);
        if (kernel == 5) return by_window<V, 5>(bits, stride, words, only, height, width, weight, sums);
    }
    switch (kernel) {
        case 1: return by_spike<V, 1>(kernel, bits, stride, words, only, height, width, weight, sums);
        case 3: return by_spike<V, 3>(kernel, bits, stride, words, only, height, width, weight, sums);
        case 5: return by_spike<V, 5>(kernel, bits, stride, words, only, height, width, weight, sums);
        case 7: return by_spike<V, 7>(kernel, bits, stride, words, only, height, width, weight, sums);
        default: return by_spike<V, 0>(kernel, bits, stride, words, only, height, width, weight, sums);
    }
}

}  // namespace

void scatter(int lanes, int kernel, const uint32_t* bits, int words, const uint32_t* only, int height, int width,
             const int16_t* weight, int16_t* sums) {
    if (lanes == 32)
        choose(kernel, bits, words, only, height, width, reinterpret_cast<const Short32*>(weight),
               reinterpret_cast<Short32*>(sums));
    else
        choose(kernel, bits, words, only, height, width, reinterpret_cast<const Short16*>(weight),
               reinterpret_cast<Short16*>(sums));
}

}  // namespace snn
