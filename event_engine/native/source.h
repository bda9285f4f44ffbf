// Where the network's input comes from, sample by sample.
#pragma once
#include "buffer.h"
#include "signal.h"

namespace snn {

struct SourceRoom {  // of one sample
    Buffer<uint32_t> bits;
    Buffer<float> values;
};

class Source {
public:
    virtual ~Source() = default;
    // All steps of the input of a sample, which stay valid as long as `room` is not used again.
    virtual Signal encode(int64_t sample, SourceRoom& room) const = 0;
};

// Bits of a float32 input, which is 0 or 1: [channels][positions] to [positions][words], which hold 0.
inline void to_bits(const float* values, const Shape& shape, uint32_t* bits) {
    const size_t positions = shape.positions(), words = shape.words();
    for (int c = 0; c < shape.channels; c++)
        for (size_t p = 0; p < positions; p++)
            bits[p * words + c / 32] |= static_cast<uint32_t>(*values++ != 0) << (c % 32);
}

// The input itself, as the archive's encoder gives it: float32 [steps][samples][channels][positions].
class Frames : public Source {
public:
    Frames(Shape shape, bool analog, const float* frames, int steps, int64_t samples)
        : shape_(shape), analog_(analog), frames_(frames), steps_(steps), samples_(samples) {}

    Signal encode(int64_t sample, SourceRoom& room) const override {
        Signal signal{shape_, steps_, nullptr, nullptr, false};
        uint32_t* bits = analog_ ? nullptr : room.bits.zeroed(shape_.bits() * steps_);
        float* values = analog_ ? room.values.need(shape_.values() * steps_) : nullptr;
        for (int t = 0; t < steps_; t++) {
            const float* frame = frames_ + (t * samples_ + sample) * shape_.values();
            if (analog_)
                std::memcpy(values + t * shape_.values(), frame, shape_.values() * sizeof(float));
            else
                to_bits(frame, shape_, bits + t * shape_.bits());
        }
        signal.bits = bits, signal.values = values;
        return signal;
    }

private:
    Shape shape_;
    bool analog_;
    const float* frames_;
    int steps_;
    int64_t samples_;
};

}  // namespace snn
