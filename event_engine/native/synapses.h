// A layer's synapses and neurons, as the caller passes them, and as every kind of layer keeps them.
#pragma once
#include <cstdint>
#include <vector>

#include "buffer.h"
#include "lanes.h"
#include "signal.h"

// `weight` [outputs][inputs][kernel][kernel] and `bias` [outputs] are whole numbers of grid units of `scale`; without
// a bias, its size is 0. `threshold` is [outputs][positions]; `fan_out` the outgoing synapses of an input by position.
struct snn_synapses {
    int64_t outputs, kernel;
    const int16_t* weight;
    int64_t weight_size;
    const float* bias;
    int64_t bias_size;
    const float* threshold;
    int64_t threshold_size;
    const int64_t* fan_out;
    int64_t fan_out_size;
    float scale, tau;
};

namespace snn {

// Counts of one sample, [steps][layers]: those of a layer begin at its column. `fired` [steps][neurons] is 1 where a
// neuron fires and elsewhere as it was, those of a layer [channels][positions] from its `state_begin`; null where it is
// not wanted.
struct Counts {
    int64_t *spikes, *synops;
    size_t layers;
    uint8_t* fired;
    size_t neurons;
};

// Potentials before and after some steps; null for rest, or where those after them are not needed.
struct Potentials {
    const float* before;
    float* after;

    Potentials at(size_t index) const {
        return {before == nullptr ? nullptr : before + index, after == nullptr ? nullptr : after + index};
    }
};

struct Layer {
    Layer(const snn_synapses& from, Shape in, Shape out, size_t positions_in, bool analog, int lanes);

    Shape in, out;
    bool analog;  // the input has values other than 0 and 1
    int kernel, lanes, blocks;
    float scale, tau;
    int column = 0;          // in the counts
    size_t state_begin = 0;  // of the potentials, [16 channels at a time][positions][channel], of a sample

    Buffer<int16_t> weight;      // [block][input][kernel * kernel][lanes]
    Buffer<float> analog_weight; // the same in floats, for an analog input
    Buffer<float> threshold;     // [block][position][lanes]
    Buffer<float> bias;          // [block][lanes]
    std::vector<int> ends;       // of the groups of inputs, within which no choice of spikes leaves 16 bits
    std::vector<int64_t> fan_out;

    size_t bytes() const { return weight.bytes() + analog_weight.bytes() + threshold.bytes() + bias.bytes(); }

    // Synaptic operations of each step of the input.
    void count_synops(const Signal& input, Counts counts) const;

    // The neurons that fire at step `t`, from their bits [positions][words].
    void mark_fired(const uint32_t* bits, int t, Counts counts) const;

protected:
    // Put a weight into its place; `input` is numbered as the bits of the layer's input are.
    void place(int output, size_t input, int tap, size_t inputs, int16_t value);
    void find_groups(size_t inputs);

private:
    bool sums_fit_32_bits_;
    std::vector<uint32_t> fan_out32_;
};

}  // namespace snn
