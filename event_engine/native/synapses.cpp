#include "synapses.h"

#include <algorithm>
#include <limits>

namespace snn {

constexpr int32_t most = std::numeric_limits<int16_t>::max();

static bool is_product(int64_t size, std::initializer_list<int64_t> factors) {
    int64_t product = 1;
    for (const int64_t factor : factors)
        if (factor < 1 || __builtin_mul_overflow(product, factor, &product)) return false;
    return product == size;
}

Layer::Layer(const snn_synapses& from, Shape in, Shape out, size_t positions_in, bool analog, int lanes)
    : in(in), out(out), analog(analog), kernel(static_cast<int>(from.kernel)), lanes(lanes),
      blocks((out.channels + lanes - 1) / lanes), scale(from.scale), tau(from.tau) {
    const int64_t inputs = static_cast<int64_t>(in.values() / positions_in);
    const size_t positions = out.positions(), outputs = static_cast<size_t>(blocks) * lanes;
    require(is_product(from.weight_size, {out.channels, inputs, kernel, kernel}), "the weights have another size");
    require(from.bias_size == 0 || from.bias_size == out.channels, "the bias has another size");
    require(is_product(from.threshold_size, {out.channels, static_cast<int64_t>(positions)}),
            "the thresholds have another size");
    require(from.fan_out_size == static_cast<int64_t>(positions_in), "the fan-out has another size");

    float* thresholds = threshold.need(outputs * positions);
    // Lanes without a neuron never fire.
    std::fill_n(thresholds, outputs * positions, std::numeric_limits<float>::infinity());
    float* biases = bias.zeroed(outputs);
    for (int o = 0; o < out.channels; o++) {
        if (from.bias_size > 0) biases[o] = from.bias[o];
        for (size_t p = 0; p < positions; p++)
            thresholds[(o / lanes * positions + p) * lanes + o % lanes] = from.threshold[o * positions + p];
    }
    const size_t weights = outputs * inputs * kernel * kernel;
    if (analog)
        analog_weight.zeroed(weights);
    else
        weight.zeroed(weights);

    fan_out.assign(from.fan_out, from.fan_out + from.fan_out_size);
    const int64_t largest = *std::max_element(fan_out.begin(), fan_out.end());
    require(*std::min_element(fan_out.begin(), fan_out.end()) >= 0 && largest < (int64_t{1} << 31),
            "the fan-out is not a count");
    sums_fit_32_bits_ = !analog && largest * 32 * in.words() * static_cast<int64_t>(positions_in) < (int64_t{1} << 31);
    fan_out32_.assign(fan_out.begin(), fan_out.end());
}

void Layer::place(int output, size_t input, int tap, size_t inputs, int16_t value) {
    const size_t taps = static_cast<size_t>(kernel) * kernel;
    const size_t at = ((output / lanes * inputs + input) * taps + tap) * lanes + output % lanes;
    if (analog)
        analog_weight.get()[at] = value;
    else
        weight.get()[at] = value;
}

void Layer::find_groups(size_t inputs) {
    ends.clear();
    if (!analog) {
        const size_t taps = static_cast<size_t>(kernel) * kernel, outputs = static_cast<size_t>(blocks) * lanes;
        std::vector<int32_t> up(outputs), down(outputs), one_up(outputs), one_down(outputs);
        for (size_t i = 0; i < inputs; i++) {
            int32_t alone = 0, together = 0;
            for (int block = 0; block < blocks; block++) {
                int32_t *a = one_up.data() + block * lanes, *b = one_down.data() + block * lanes;
                const int16_t* row = weight.get() + (block * inputs + i) * taps * lanes;
                std::fill_n(a, lanes, 0), std::fill_n(b, lanes, 0);
                for (size_t tap = 0; tap < taps; tap++, row += lanes)
                    for (int l = 0; l < lanes; l++) {
                        a[l] += std::max<int32_t>(row[l], 0);
                        b[l] += std::max<int32_t>(-row[l], 0);
                    }
                for (int l = 0; l < lanes; l++) {
                    const int o = block * lanes + l;
                    alone = std::max({alone, a[l], b[l]});
                    together = std::max({together, up[o] + a[l], down[o] + b[l]});
                }
            }
            require(alone <= most, "the weights of one input leave 16 bits");
            const bool fits = together <= most;
            if (!fits) ends.push_back(static_cast<int>(i));
            for (size_t o = 0; o < outputs; o++) {
                up[o] = one_up[o] + (fits ? up[o] : 0);
                down[o] = one_down[o] + (fits ? down[o] : 0);
            }
        }
    }
    ends.push_back(static_cast<int>(inputs));
}

void Layer::mark_fired(const uint32_t* bits, int t, Counts counts) const {
    uint8_t* to = counts.fired + t * counts.neurons + state_begin;
    for (size_t p = 0; p < out.positions(); p++)
        for (int i = 0; i < out.words(); i++)
            for (uint32_t left = *bits++, base = i * 32; left; left &= left - 1)
                to[(base + __builtin_ctz(left)) * out.positions() + p] = 1;
}

void Layer::count_synops(const Signal& input, Counts counts) const {
    const size_t positions = fan_out.size(), per_position = input.shape.values() / positions;
    for (int t = 0; t < input.steps; t++) {
        int64_t* to = counts.synops + t * counts.layers + column;
        if (t > 0 && input.constant) {
            *to = to[-static_cast<ptrdiff_t>(counts.layers)];
            continue;
        }
        int64_t sum = 0;
        if (input.bits == nullptr) {
            const float* values = input.values + t * input.shape.values();
            for (size_t i = 0; i < positions * per_position; i++)
                sum += values[i] != 0 ? fan_out[positions == 1 ? 0 : i % positions] : 0;
        } else if (positions == 1) {
            sum = count_bits(input.bits + t * input.shape.bits(), input.shape.bits()) * fan_out[0];
        } else {
            const int words = input.shape.words();
            const uint32_t* bits = input.bits + t * input.shape.bits();
            if (words == 1 && sums_fit_32_bits_) {
                uint32_t part = 0;
                for (size_t p = 0; p < positions; p++) part += __builtin_popcount(bits[p]) * fan_out32_[p];
                sum = part;
            } else {
                for (size_t p = 0; p < positions; p++) sum += count_bits(bits + p * words, words) * fan_out[p];
            }
        }
        *to = sum;
    }
}

}  // namespace snn
