// Spikes by position: the maximum over windows, and the join of a residual block.
#pragma once
#include "signal.h"

namespace snn {

// Maximum over windows of `size` x `size` that do not overlap: a bit is set where any in its window is. `out` holds
// [steps][positions][words] of the smaller shape; rows and columns left over are dropped.
inline void max_pool(const Signal& input, int size, uint32_t* out) {
    const Shape in = input.shape;
    const int words = in.words(), height = in.height / size, width = in.width / size;
    for (int t = 0; t < input.steps; t++) {
        const uint32_t* from = input.bits + t * in.bits();
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++)
                for (int i = 0; i < words; i++) {
                    uint32_t any = 0;
                    for (int dy = 0; dy < size; dy++)
                        for (int dx = 0; dx < size; dx++)
                            any |= from[(static_cast<size_t>(y * size + dy) * in.width + x * size + dx) * words + i];
                    *out++ = any;
                }
    }
}

// The spikes of the shortcut that no spike of the residual path vetoes.
inline void veto(const uint32_t* shortcut, const uint32_t* residual, size_t words, uint32_t* out) {
    for (size_t i = 0; i < words; i++) out[i] = shortcut[i] & ~residual[i];
}

}  // namespace snn
