// What passes from layer to layer for one sample: spikes as bits, or the whole numbers that feed the first layer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace snn {

struct Shape {
    int channels, height, width;

    size_t positions() const { return static_cast<size_t>(height) * width; }
    size_t values() const { return positions() * channels; }
    int words() const { return (channels + 31) / 32; }  // of 32 bits, for the channels of a position
    size_t bits() const { return positions() * words(); }
};

// `bits` is [steps][positions][words], or null; then `values` is [steps][channels][positions], with a single step
// where the input is `constant`.
struct Signal {
    Shape shape;
    int steps;
    const uint32_t* bits;
    const float* values;
    bool constant;

    int distinct_steps() const { return constant ? 1 : steps; }

    Signal between(int first, int count) const {
        Signal part = *this;
        part.steps = count;
        if (bits != nullptr) part.bits += shape.bits() * first;
        if (values != nullptr && !constant) part.values += shape.values() * first;
        return part;
    }
};

inline void require(bool holds, const char* otherwise) {
    if (!holds) throw std::invalid_argument(otherwise);
}

inline int64_t count_bits(const uint32_t* bits, size_t words) {
    int64_t count = 0;
    for (size_t i = 0; i < words; i++) count += __builtin_popcount(bits[i]);
    return count;
}

inline int64_t count_values(const float* values, size_t size) {
    int64_t count = 0;
    for (size_t i = 0; i < size; i++) count += values[i] != 0;
    return count;
}

}  // namespace snn
