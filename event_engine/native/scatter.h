// Adding the weights of every spike of an image to the sums of the neurons that it reaches.
#pragma once
#include <cstdint>

namespace snn {

// `bits` [height][width][words] are spikes, of which those in the mask `only` [words] count; `weight`
// [channel][kernel * kernel][lanes] is flipped; `sums` [height + kernel - 1][width + kernel - 1][lanes].
// `lanes` is 16 or 32.
void scatter(int lanes, int kernel, const uint32_t* bits, int words, const uint32_t* only, int height, int width,
             const int16_t* weight, int16_t* sums);

}  // namespace snn
