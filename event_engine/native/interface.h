// The C interface of the library. Functions return 0, 1 for arguments that cannot be (see `snn_error`), or 2 where
// there is not enough memory. Sizes are numbers of values; `event_engine/library.py` declares the same.
#pragma once
#include <cstdint>

#include "network.h"

// Changes with every change of the functions and structures below.
constexpr int snn_interface_number = 3;

enum snn_coding { SNN_POISSON, SNN_DIRECT, SNN_BINARY_BINS, SNN_COUNTED_BINS };

struct snn_description {
    int64_t channels, height, width, timesteps, coding, step_us, classes, voters;
};

struct snn_batch {
    int64_t samples, threads;
    float* potentials;  // [samples][neurons], before and after; null for rest
    int64_t potentials_size;
    int64_t *scores, *spikes, *synops, *input;  // of each sample: [steps][classes], [steps][layers], [steps][layers], 1
    int64_t scores_size, counts_size;
    const int64_t* leads;  // [steps], see Exit; null where every sample takes all steps
    int64_t* used;         // [samples]
    int64_t leads_size, used_size;
    uint8_t* fired;  // [samples][steps][neurons], zeros before, see Counts; null where it is not wanted
    int64_t fired_size;
};
