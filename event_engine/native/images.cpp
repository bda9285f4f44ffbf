#include "images.h"

#include <algorithm>

namespace snn {

Signal DirectImages::encode(int64_t sample, SourceRoom& room) const {
    float* values = room.values.need(shape_.values());
    std::copy_n(pixels_ + sample * shape_.values(), shape_.values(), values);
    return {shape_, steps_, nullptr, values, true};
}

constexpr int at_once = 16;  // draws that the compiler turns into vectors

// Philox 4x32-10 for the counters (first + i, group, 0, 0): four words each, for four steps.
static void philox(uint32_t first, uint32_t group, uint64_t key, uint32_t (&words)[4][at_once]) {
    uint32_t low = static_cast<uint32_t>(key), high = static_cast<uint32_t>(key >> 32);
    for (int i = 0; i < at_once; i++)
        words[0][i] = first + static_cast<uint32_t>(i), words[1][i] = group, words[2][i] = 0, words[3][i] = 0;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < at_once; i++) {
            const uint64_t a = static_cast<uint64_t>(words[0][i]) * 0xD2511F53u;
            const uint64_t b = static_cast<uint64_t>(words[2][i]) * 0xCD9E8D57u;
            words[0][i] = static_cast<uint32_t>(b >> 32) ^ words[1][i] ^ low;
            words[2][i] = static_cast<uint32_t>(a >> 32) ^ words[3][i] ^ high;
            words[1][i] = static_cast<uint32_t>(b);
            words[3][i] = static_cast<uint32_t>(a);
        }
        low += 0x9E3779B9u, high += 0xBB67AE85u;
    }
}

Signal PoissonImages::encode(int64_t sample, SourceRoom& room) const {
    const size_t size = shape_.values(), positions = shape_.positions(), words = shape_.words();
    const uint8_t* pixels = pixels_ + sample * size;
    const uint64_t seed = static_cast<uint64_t>(seeds_[sample]);
    const int begin = moments_ == nullptr ? 0 : static_cast<int>(moments_[sample]);
    const int end = moments_ == nullptr ? timesteps_ : begin + 1;
    uint32_t* bits = room.bits.zeroed(shape_.bits() * (end - begin));
    uint32_t drawn[4][at_once];
    for (int group = begin / 4; group * 4 < end; group++)
        for (size_t from = 0; from < size; from += at_once) {
            const size_t here = std::min<size_t>(at_once, size - from);
            if (std::all_of(pixels + from, pixels + from + here, [](uint8_t pixel) { return pixel == 0; })) continue;
            philox(static_cast<uint32_t>(from), static_cast<uint32_t>(group), seed, drawn);
            for (int t = std::max(begin, group * 4); t < std::min(end, group * 4 + 4); t++)
                for (size_t i = 0; i < here; i++) {
                    // pixel / 255 > draw / 2^32, in whole numbers
                    const bool fires = static_cast<uint64_t>(drawn[t % 4][i]) * 255 <
                                       static_cast<uint64_t>(pixels[from + i]) << 32;
                    const size_t channel = (from + i) / positions, position = (from + i) % positions;
                    bits[(t - begin) * shape_.bits() + position * words + channel / 32] |=
                        static_cast<uint32_t>(fires) << (channel % 32);
                }
        }
    return {shape_, end - begin, bits, nullptr, false};
}

}  // namespace snn
