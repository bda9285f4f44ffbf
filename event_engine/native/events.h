// Event recordings as input, in bins of time. As training/snn/encode.py.
#pragma once
#include "source.h"

namespace snn {

struct Binning {
    int timesteps;
    int64_t step_us;  // 0 for equal parts of the recording
    bool counted;     // the number of events, at most 255; else 1 where there is any
};

// `recordings[i]` int64 [counts[i]][4]: t (µs), x, y, p. With `one_step`, all events of a sample are one step's.
class Recordings : public Source {
public:
    Recordings(Shape shape, Binning binning, const int64_t* const* recordings, const int64_t* counts, bool one_step)
        : shape_(shape), binning_(binning), recordings_(recordings), counts_(counts), one_step_(one_step) {
        if (one_step) binning_.timesteps = 1;
    }
    Signal encode(int64_t sample, SourceRoom& room) const override;

private:
    template <class Put> void bin(int64_t sample, Put put) const;
    template <class Step, class Put> void put_all(int64_t sample, Step step, Put put) const;

    Shape shape_;
    Binning binning_;
    const int64_t* const* recordings_;
    const int64_t* counts_;
    bool one_step_;
};

}  // namespace snn
