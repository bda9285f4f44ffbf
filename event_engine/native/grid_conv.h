// A convolution with padding that keeps height and width, and its neurons.
#pragma once
#include "synapses.h"

namespace snn {

struct ConvRoom {  // scratch memory of one thread
    Buffer<int16_t> sums;
    Buffer<int32_t> long_sums;
    Buffer<float> analog_sums;
};

class GridConv : public Layer {
public:
    GridConv(const snn_synapses& from, Shape in, bool analog);

    // All steps of one sample: spikes to `out` [steps][positions][words], from and to the sample's `potentials`.
    // `thresholds` are packed as `threshold` is, which they replace where a sample has its own.
    void run(const Signal& input, uint32_t* out, Potentials potentials, const float* thresholds, Counts counts,
             ConvRoom& room) const;

private:
    void integrate_values(int block, const Signal& input, float* sums) const;
    void integrate_spikes(int block, const Signal& input, int16_t* sums, int32_t* long_sums) const;
    template <class Sums>
    void fire_block(int block, int steps, const Sums* sums, size_t step, size_t row, uint32_t* out,
                    Potentials potentials, const float* thresholds) const;
    size_t padded() const { return static_cast<size_t>(in.height + kernel - 1) * (in.width + kernel - 1); }
};

}  // namespace snn
