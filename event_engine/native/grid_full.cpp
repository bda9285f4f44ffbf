#include "grid_full.h"

#include <algorithm>
#include <cstring>

#include "lif.h"

namespace snn {

GridFull::GridFull(const snn_synapses& from, Shape in, bool analog)
    : Layer(from, in, Shape{static_cast<int>(from.outputs), 1, 1}, 1, analog, full_lanes) {
    require(kernel == 1, "a fully connected layer has no kernel");
    const size_t positions = in.positions();
    const int16_t* value = from.weight;  // [output][channel][position]
    for (int o = 0; o < out.channels; o++)
        for (int c = 0; c < in.channels; c++)
            for (size_t p = 0; p < positions; p++)
                place(o, analog ? c * positions + p : p * in.channels + c, 0, inputs(), *value++);
    find_groups(inputs());
}

void GridFull::run(const Rows& rows, uint32_t* out, Potentials potentials, size_t state_size, FullRoom& room) const {
    int16_t* sums = room.sums.need(static_cast<size_t>(rows.count()) * lanes);
    int32_t* long_sums = room.long_sums.need(static_cast<size_t>(rows.count()) * lanes);
    std::memset(out, 0, this->out.words() * sizeof(uint32_t) * rows.count());
    for (int block = 0; block < blocks; block++) {
        integrate_rows(block, rows, sums, long_sums);
        fire_block(block, rows.samples, rows.steps, long_sums, lanes, out, potentials, state_size);
    }
}

void GridFull::run_values(const Signal& input, uint32_t* out, Potentials potentials, FullRoom& room) const {
    const int distinct = input.distinct_steps();
    float* sums = room.analog_sums.need(static_cast<size_t>(distinct) * lanes);
    std::memset(out, 0, this->out.words() * sizeof(uint32_t) * input.steps);
    for (int block = 0; block < blocks; block++) {
        const float* weights = analog_weight.get() + block * inputs() * lanes;
        std::memset(sums, 0, sizeof(float) * distinct * lanes);
        for (int t = 0; t < distinct; t++)
            for (size_t i = 0; i < inputs(); i++) {
                const float value = input.values[t * inputs() + i];
                if (value == 0) continue;
                for (int l = 0; l < lanes; l += 16) {
                    float* to = sums + t * lanes + l;
                    store16(to, load16(to) + load16(weights + i * lanes + l) * value);
                }
            }
        fire_block(block, 1, input.steps, sums, input.constant ? 0 : lanes, out, potentials, 0);
    }
}

void GridFull::integrate_rows(int block, const Rows& rows, int16_t* sums, int32_t* long_sums) const {
    typedef ShortWide V;
    constexpr int vectors = full_lanes * sizeof(int16_t) / sizeof(V);
    const int16_t* weights = weight.get() + block * inputs() * lanes;
    const size_t values = static_cast<size_t>(rows.count()) * lanes;
    std::memset(sums, 0, values * sizeof(int16_t));
    int input = 0;
    for (size_t group = 0; group < ends.size(); group++) {
        for (; input < ends[group]; input++) {
            const uint64_t* fired = rows.fired + 2 * static_cast<size_t>(input);
            if (!(fired[0] | fired[1])) continue;
            const V* from = reinterpret_cast<const V*>(weights + static_cast<size_t>(input) * lanes);
            V row[vectors];
            for (int i = 0; i < vectors; i++) {
                row[i] = from[i];
                __builtin_prefetch(from + 8 * vectors + i);  // which may lie behind the end: it is only a hint
            }
            for (int half = 0; half < 2; half++)
                for (uint64_t left = fired[half]; left; left &= left - 1) {
                    V* to = reinterpret_cast<V*>(sums + (64 * half + __builtin_ctzll(left)) * lanes);
                    for (int i = 0; i < vectors; i++) to[i] += row[i];
                }
        }
        for (size_t i = 0; i < values; i += 16) move16(long_sums + i, sums + i, group == 0);
    }
}

// `sums` of the first row; those of the next one are `step` values further, or the same for a constant input.
template <class Sums>
void GridFull::fire_block(int block, int samples, int steps, const Sums* sums, size_t step, uint32_t* out,
                          Potentials potentials, size_t state_size) const {
    const size_t words = this->out.words();
    for (int l = 0; l < lanes; l += 16) {
        const int neuron = block * lanes + l, here = std::min(16, this->out.channels - neuron);
        if (here <= 0) break;
        const F16 thresholds = load16(threshold.get() + neuron), biases = load16(bias.get() + neuron);
        for (int sample = 0; sample < samples; sample++) {
            const Potentials state = potentials.at(sample * state_size + neuron);
            F16 v = load_potentials(state.before, here);
            for (int t = 0; t < steps; t++) {
                const size_t row = static_cast<size_t>(sample) * steps + t;
                const Sums* sum = sums + row * step + l;
                out[row * words + neuron / 32] |= lif_step(v, load16(sum), biases, scale, thresholds, tau)
                                                  << (neuron % 32);
            }
            store_potentials(state.after, here, v);
        }
    }
}

}  // namespace snn
