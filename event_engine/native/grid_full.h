// A fully connected layer and its neurons, for several samples at once, so that each weight is read once for all.
#pragma once
#include "synapses.h"

namespace snn {

struct FullRoom {
    Buffer<int16_t> sums;
    Buffer<int32_t> long_sums;
    Buffer<float> analog_sums;
};

// Which rows each input fires in; a row is one time step of one sample, sample by sample.
struct Rows {
    static constexpr int most = 128;
    int samples, steps;
    const uint64_t* fired;  // [inputs][2]

    int count() const { return samples * steps; }
};

class GridFull : public Layer {
public:
    // The input is that of a row of fully connected layers, or spikes and values by position, from `in`.
    GridFull(const snn_synapses& from, Shape in, bool analog);

    // Spikes of every row to `out` [rows][words]. `potentials` of the first sample; those of the next one are
    // `state_size` further.
    void run(const Rows& rows, uint32_t* out, Potentials potentials, size_t state_size, FullRoom& room) const;

    // The same for one sample of values.
    void run_values(const Signal& input, uint32_t* out, Potentials potentials, FullRoom& room) const;

    size_t inputs() const { return in.values(); }

private:
    static constexpr int full_lanes = 128;
    void integrate_rows(int block, const Rows& rows, int16_t* sums, int32_t* long_sums) const;
    template <class Sums>
    void fire_block(int block, int samples, int steps, const Sums* sums, size_t step, uint32_t* out,
                    Potentials potentials, size_t state_size) const;
};

}  // namespace snn
