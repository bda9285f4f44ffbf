// Images as input: Poisson spikes, or the pixel values themselves (direct coding). As training/snn/encode.py.
#pragma once
#include "source.h"

namespace snn {

// `pixels` uint8 [samples][channels][positions]. With `moments`, one step of each sample: that of its moment.
class DirectImages : public Source {
public:
    DirectImages(Shape shape, int timesteps, const uint8_t* pixels, const int64_t* moments)
        : shape_(shape), steps_(moments == nullptr ? timesteps : 1), pixels_(pixels) {}
    Signal encode(int64_t sample, SourceRoom& room) const override;

private:
    Shape shape_;
    int steps_;
    const uint8_t* pixels_;
};

class PoissonImages : public Source {
public:
    PoissonImages(Shape shape, int timesteps, const uint8_t* pixels, const int64_t* seeds, const int64_t* moments)
        : shape_(shape), timesteps_(timesteps), pixels_(pixels), seeds_(seeds), moments_(moments) {}
    Signal encode(int64_t sample, SourceRoom& room) const override;

private:
    Shape shape_;
    int timesteps_;
    const uint8_t* pixels_;
    const int64_t* seeds_;
    const int64_t* moments_;
};

}  // namespace snn
