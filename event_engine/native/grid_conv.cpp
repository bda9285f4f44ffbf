#include "grid_conv.h"

#include <algorithm>
#include <cstring>

#include "lif.h"
#include "scatter.h"

namespace snn {

GridConv::GridConv(const snn_synapses& from, Shape in, bool analog)
    : Layer(from, in, Shape{static_cast<int>(from.outputs), in.height, in.width}, in.positions(), analog,
            wide && from.outputs > 16 ? 32 : 16) {
    const int taps = kernel * kernel;
    const int16_t* value = from.weight;
    for (int o = 0; o < out.channels; o++)
        for (int c = 0; c < in.channels; c++)
            for (int tap = 0; tap < taps; tap++) place(o, c, taps - 1 - tap, in.channels, *value++);
    find_groups(in.channels);
}

void GridConv::run(const Signal& input, uint32_t* out, Potentials potentials, const float* thresholds, Counts counts,
                   ConvRoom& room) const {
    count_synops(input, counts);
    const int steps = input.steps, half = (kernel - 1) / 2, padded_width = in.width + kernel - 1;
    const size_t positions = in.positions(), words = this->out.bits() * steps;
    if (this->out.channels % 32) std::memset(out, 0, words * sizeof(uint32_t));
    const size_t middle = (static_cast<size_t>(half) * padded_width + half) * lanes;
    for (int block = 0; block < blocks; block++) {
        if (analog) {
            float* sums = room.analog_sums.need(padded() * lanes * input.distinct_steps());
            integrate_values(block, input, sums);
            fire_block(block, steps, sums + middle, input.constant ? 0 : padded() * lanes, padded_width, out,
                       potentials, thresholds);
        } else if (ends.size() == 1) {
            int16_t* sums = room.sums.need(padded() * lanes * steps);
            integrate_spikes(block, input, sums, nullptr);
            fire_block(block, steps, sums + middle, padded() * lanes, padded_width, out, potentials, thresholds);
        } else {
            int32_t* sums = room.long_sums.need(positions * lanes * steps);
            integrate_spikes(block, input, room.sums.need(padded() * lanes), sums);
            fire_block(block, steps, sums, positions * lanes, in.width, out, potentials, thresholds);
        }
    }
    for (int t = 0; t < steps; t++, out += this->out.bits()) {
        counts.spikes[t * counts.layers + column] = count_bits(out, this->out.bits());
        if (counts.fired != nullptr) mark_fired(out, t, counts);
    }
}

void GridConv::integrate_values(int block, const Signal& input, float* sums) const {
    const int padded_width = in.width + kernel - 1, taps = kernel * kernel;
    std::memset(sums, 0, padded() * lanes * input.distinct_steps() * sizeof(float));
    const float* value = input.values;
    for (int t = 0; t < input.distinct_steps(); t++, sums += padded() * lanes)
        for (int c = 0; c < in.channels; c++) {
            const float* weights = analog_weight.get() + (static_cast<size_t>(block) * in.channels + c) * taps * lanes;
            for (int y = 0; y < in.height; y++)
                for (int x = 0; x < in.width; x++, value++) {
                    if (*value == 0) continue;
                    for (int ky = 0; ky < kernel; ky++) {
                        const float* row = weights + static_cast<size_t>(ky) * kernel * lanes;
                        float* to = sums + (static_cast<size_t>(y + ky) * padded_width + x) * lanes;
                        for (int l = 0; l < kernel * lanes; l += 16)
                            store16(to + l, load16(to + l) + load16(row + l) * *value);
                    }
                }
        }
}

void GridConv::integrate_spikes(int block, const Signal& input, int16_t* sums, int32_t* long_sums) const {
    const int words = in.words(), padded_width = in.width + kernel - 1, half = (kernel - 1) / 2;
    const int16_t* weights = weight.get() + static_cast<size_t>(block) * in.channels * kernel * kernel * lanes;
    std::vector<uint32_t> only(words);
    for (int t = 0; t < input.steps; t++) {
        int first = 0;
        for (size_t group = 0; group < ends.size(); group++) {
            for (int i = 0; i < words; i++) {
                const int low = std::max(0, first - i * 32), high = std::min(32, ends[group] - i * 32);
                only[i] = high <= low ? 0 : static_cast<uint32_t>(((1ull << high) - 1) & ~((1ull << low) - 1));
            }
            first = ends[group];
            std::memset(sums, 0, padded() * lanes * sizeof(int16_t));
            scatter(lanes, kernel, input.bits + t * in.bits(), words, only.data(), in.height, in.width, weights, sums);
            if (long_sums == nullptr) continue;
            for (int y = 0; y < in.height; y++) {
                int16_t* from = sums + (static_cast<size_t>(y + half) * padded_width + half) * lanes;
                int32_t* to = long_sums + static_cast<size_t>(y) * in.width * lanes;
                for (int l = 0; l < in.width * lanes; l += 16) move16(to + l, from + l, group == 0);
            }
        }
        if (long_sums == nullptr)
            sums += padded() * lanes;
        else
            long_sums += in.positions() * lanes;
    }
}

// `sums` of the first position; those of the next step are `step` values further, those of a next row `row` positions.
template <class Sums>
void GridConv::fire_block(int block, int steps, const Sums* sums, size_t step, size_t row, uint32_t* out,
                          Potentials potentials, const float* thresholds) const {
    const size_t positions = in.positions(), words = this->out.words();
    Half* halves = reinterpret_cast<Half*>(out);
    for (int l = 0; l < lanes; l += 16) {
        const int channel = block * lanes + l, here = std::min(16, this->out.channels - channel);
        if (here <= 0) break;  // the last block may have more lanes than there are channels
        const F16 biases = load16(bias.get() + channel);
        for (int y = 0; y < in.height; y++)
            for (int x = 0; x < in.width; x++) {
                const size_t position = static_cast<size_t>(y) * in.width + x;
                const Sums* sum = sums + (y * row + x) * lanes + l;
                const F16 threshold = load16(thresholds + (block * positions + position) * lanes + l);
                Half* to = halves + position * words * 2 + channel / 16;
                const Potentials state = potentials.at(channel * positions + position * here);
                F16 v = load_potentials(state.before, here);
#pragma GCC unroll 4
                for (int t = 0; t < steps; t++)
                    to[t * positions * words * 2] = lif_step(v, load16(sum + t * step), biases, scale, threshold, tau);
                store_potentials(state.after, here, v);
            }
    }
}

}  // namespace snn
