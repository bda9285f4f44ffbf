#include "events.h"

#include <algorithm>
#include <vector>

namespace snn {

constexpr float most_counted = 255;

Signal Recordings::encode(int64_t sample, SourceRoom& room) const {
    const int steps = binning_.timesteps;
    const size_t positions = shape_.positions(), words = shape_.words(), size = shape_.values();
    if (binning_.counted) {
        float* values = room.values.zeroed(size * steps);
        bin(sample, [=](int64_t step, int64_t channel, size_t position) {
            float& count = values[step * size + channel * positions + position];
            count = std::min(count + 1, most_counted);
        });
        return {shape_, steps, nullptr, values, false};
    }
    uint32_t* bits = room.bits.zeroed(shape_.bits() * steps);
    bin(sample, [=](int64_t step, int64_t channel, size_t position) {
        bits[(step * positions + position) * words + channel / 32] |= 1u << (channel % 32);
    });
    return {shape_, steps, bits, nullptr, false};
}

template <class Step, class Put> void Recordings::put_all(int64_t sample, Step step, Put put) const {
    const int64_t* event = recordings_[sample];
    for (int64_t i = 0; i < counts_[sample]; i++, event += 4) {
        const int64_t x = event[1], y = event[2], channel = shape_.channels == 1 ? 0 : event[3];
        require(0 <= x && x < shape_.width && 0 <= y && y < shape_.height && 0 <= channel && channel < shape_.channels,
                "an event lies outside of the sensor");
        const int64_t at = step(event[0]);
        if (at < binning_.timesteps) put(at, channel, static_cast<size_t>(y) * shape_.width + x);
    }
}

template <class Put> void Recordings::bin(int64_t sample, Put put) const {
    if (one_step_) return put_all(sample, [](int64_t) { return int64_t{0}; }, put);
    const int64_t* events = recordings_[sample];
    const int64_t count = counts_[sample], timesteps = binning_.timesteps;
    int64_t first = int64_t{1} << 62, last = first;
    for (int64_t i = 0; i < count; i++) {
        first = std::min(first, events[4 * i]);
        last = i == 0 ? events[0] : std::max(last, events[4 * i]);
    }
    int64_t span = 0;
    require(count == 0 || (!__builtin_sub_overflow(last, first, &span) && span >= 0), "the times of events overflow");
    if (binning_.step_us > 0) {
        // Most events fall into the step of the event before, so that few divisions are needed.
        int64_t step = 0, begin = 0, length = binning_.step_us;
        return put_all(
            sample,
            [=](int64_t time) mutable {
                const int64_t elapsed = time - first;
                if (elapsed < begin || elapsed - begin >= length) step = elapsed / length, begin = step * length;
                return step;
            },
            put);
    }
    // floor(elapsed * T / span), with the last event in the last part, without a product that could overflow
    std::vector<int64_t> starts;
    for (int64_t part = 1; part < timesteps; part++)
        starts.push_back(span / timesteps * part + (span % timesteps * part + timesteps - 1) / timesteps);
    put_all(
        sample,
        [&](int64_t time) -> int64_t {
            return span == 0 ? 0 : std::upper_bound(starts.begin(), starts.end(), time - first) - starts.begin();
        },
        put);
}

}  // namespace snn
