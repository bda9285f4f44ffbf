// Leaky integrate-and-fire: v = tau * v + I, a spike where v reaches its threshold, which sets v to zero.
// The same float32 operations in the same order as in training/snn/neurons.py; compile without contraction.
#pragma once
#include "lanes.h"

namespace snn {

// One step of 16 neurons: a bit for each that fires. `sum` are grid units.
SNN_INLINE uint32_t lif_step(F16& v, F16 sum, F16 bias, float scale, F16 threshold, float tau) {
    const F16 current = (sum + bias) * scale;
    v = v * tau;
    v = v + current;
    return fire(v, threshold);
}

// Potentials of `count` neurons, at most 16, the other lanes at zero; null for rest.
SNN_INLINE F16 load_potentials(const float* from, int count) {
    if (from == nullptr) return zero16();
    if (count == 16) return load16_anywhere(from);
    alignas(64) float lanes[16] = {};
    for (int i = 0; i < count; i++) lanes[i] = from[i];
    return load16(lanes);
}

SNN_INLINE void store_potentials(float* to, int count, F16 v) {
    if (to == nullptr) return;
    if (count == 16) return store16_anywhere(to, v);
    alignas(64) float lanes[16];
    store16(lanes, v);
    for (int i = 0; i < count; i++) to[i] = lanes[i];
}

}  // namespace snn
