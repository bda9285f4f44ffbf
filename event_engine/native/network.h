// A whole network: stages, then fully connected layers, of which the last one votes.
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "grid_full.h"
#include "source.h"
#include "stage.h"

namespace snn {

// Of every sample, one after another: [steps][classes], [steps][layers], [steps][layers], one number; and [steps]
// [neurons], see `Counts`, or null.
struct Results {
    int64_t *scores, *spikes, *synops, *input;
    uint8_t* fired;
};

// A sample ends after the first step at which its class leads by at least `leads` [steps]; `used` [samples] are the
// steps that it took, and its results of later steps are not written. Without `leads` every sample takes all steps.
struct Exit {
    const int64_t* leads;
    int64_t* used;
};

class Network {
public:
    Network(Shape input, bool analog, int classes, int voters);
    ~Network();

    void add_conv(const snn_synapses& from);
    void add_residual(const snn_synapses& first, const snn_synapses& second, const snn_synapses* shortcut);
    void add_pool(int64_t size);
    void add_full(const snn_synapses& from);

    // `steps` of `samples`, split over at most `threads`; `potentials` [samples][neurons] before and after, or null for
    // rest. Every result is the same for any number of threads.
    void run(const Source& source, int steps, int64_t samples, int threads, float* potentials, const Exit& exit,
             const Results& results) const;

    const Shape input;
    const bool analog;

    size_t neurons() const { return neurons_; }
    size_t layers() const { return layers_; }
    size_t bytes() const { return bytes_; }  // of the weights, thresholds and biases

private:
    struct Room;  // what one thread works in
    using Rooms = std::vector<std::unique_ptr<Room>>;

    void adopt(const std::vector<Layer*>& layers);
    void add_stage(std::unique_ptr<Stage> stage);
    Shape shape() const { return stages_.empty() ? input : stages_.back()->out(); }
    bool next_is_analog() const { return analog && stages_.empty() && full_.empty(); }
    int workers(int threads, int steps, int64_t samples) const;
    std::vector<int> parts(int steps, const int64_t* leads) const;
    void run_range(const Source& source, const std::vector<int>& ends, int64_t begin, int64_t end, float* potentials,
                   const Exit& exit, const Results& results, Room& room) const;
    int let_go(int going, int first, int end, const Exit& exit, float* states, int64_t start, Room& room) const;
    void run_stages(Signal signal, int first_row, Potentials potentials, Counts counts, Room& room) const;
    void run_full(int samples, int steps, int first_step, Potentials potentials, const Counts* counts,
                  int64_t* const* scores, Room& room) const;
    std::unique_ptr<Room> borrow() const;

    const int classes_, voters_;
    std::vector<std::unique_ptr<Stage>> stages_;
    std::vector<std::unique_ptr<GridFull>> full_;
    size_t neurons_ = 0, layers_ = 0, bytes_ = 0;
    double synapses_ = 0;  // as if dense
    mutable Rooms idle_;
    mutable std::mutex idle_lock_;
};

}  // namespace snn
