#include "interface.h"

#include <algorithm>
#include <exception>
#include <new>
#include <string>

#include "events.h"
#include "images.h"

namespace {

using namespace snn;

struct Described {
    Described(const snn_description& from, Shape shape)
        : network(shape, from.coding == SNN_DIRECT || from.coding == SNN_COUNTED_BINS,
                  static_cast<int>(from.classes), static_cast<int>(from.voters)),
          from(from) {}
    Network network;
    snn_description from;
};

thread_local std::string last_error;

// Runs `work` and turns what it throws into a status: no exception may reach the caller.
template <class Work> int guarded(Work work) noexcept {
    try {
        work();
        return 0;
    } catch (const std::bad_alloc&) {
        return 2;
    } catch (const std::exception& error) {
        last_error = error.what();
    } catch (...) {
        last_error = "an unknown failure";
    }
    return 1;
}

bool within(int64_t value, int64_t most) { return 1 <= value && value <= most; }

void check(const snn_description& from) {
    require(within(from.channels, 1 << 16) && within(from.height, 1 << 16) && within(from.width, 1 << 16) &&
                within(from.timesteps, 100'000'000) && within(from.classes, 1 << 24) && within(from.voters, 1 << 24),
            "the description has a size that cannot be");
    const double values = static_cast<double>(from.channels) * from.height * from.width * from.timesteps;
    require(values <= 100'000'000 && from.classes * from.voters < 1 << 24, "the description is too large");
    require(SNN_POISSON <= from.coding && from.coding <= SNN_COUNTED_BINS && from.step_us >= 0, "an unknown coding");
}

void check(const snn_synapses& from) {
    require(within(from.outputs, 1 << 24) && within(from.kernel, 999) && from.kernel % 2 == 1,
            "a layer has a size that cannot be");
}

void run(const Described& net, const Source& source, int64_t steps, const snn_batch& batch) {
    const Network& network = net.network;
    const int64_t rows = batch.samples * steps, layers = static_cast<int64_t>(network.layers());
    require(batch.samples >= 0 && batch.threads >= 1, "the batch has a size that cannot be");
    require(batch.scores_size == rows * net.from.classes && batch.counts_size == rows * layers,
            "the results have another size");
    require(batch.potentials == nullptr ||
                batch.potentials_size == batch.samples * static_cast<int64_t>(network.neurons()),
            "the potentials have another size");
    require(batch.fired_size == (batch.fired == nullptr ? 0 : rows * static_cast<int64_t>(network.neurons())),
            "the neurons that fire have another size");
    const bool exits = batch.leads != nullptr;
    require(batch.leads_size == (exits ? steps : 0) && batch.used_size == (exits ? batch.samples : 0) &&
                (batch.used != nullptr) == exits && !(exits && batch.potentials != nullptr),
            "the leads have another size");
    network.run(source, static_cast<int>(steps), batch.samples, static_cast<int>(std::min<int64_t>(batch.threads, 256)),
                batch.potentials, {batch.leads, batch.used},
                {batch.scores, batch.spikes, batch.synops, batch.input, batch.fired});
}

}  // namespace

extern "C" {

int snn_interface() { return snn_interface_number; }

const char* snn_error() { return last_error.c_str(); }

int snn_new(const snn_description* from, void** net) {
    return guarded([=] {
        check(*from);
        *net = new Described(*from, Shape{static_cast<int>(from->channels), static_cast<int>(from->height),
                                          static_cast<int>(from->width)});
    });
}

void snn_free(void* net) { delete static_cast<Described*>(net); }

int64_t snn_neurons(void* net) { return static_cast<int64_t>(static_cast<Described*>(net)->network.neurons()); }

int64_t snn_bytes(void* net) { return static_cast<int64_t>(static_cast<Described*>(net)->network.bytes()); }

int snn_add_conv(void* net, const snn_synapses* from) {
    return guarded([=] {
        check(*from);
        static_cast<Described*>(net)->network.add_conv(*from);
    });
}

int snn_add_residual(void* net, const snn_synapses* first, const snn_synapses* second, const snn_synapses* shortcut) {
    return guarded([=] {
        check(*first), check(*second);
        if (shortcut != nullptr) check(*shortcut);
        static_cast<Described*>(net)->network.add_residual(*first, *second, shortcut);
    });
}

int snn_add_pool(void* net, int64_t size) {
    return guarded([=] { static_cast<Described*>(net)->network.add_pool(size); });
}

int snn_add_full(void* net, const snn_synapses* from) {
    return guarded([=] {
        check(*from);
        static_cast<Described*>(net)->network.add_full(*from);
    });
}

// x float32 [steps][samples][channels][height][width], as the archive's encoder gives it.
int snn_run_frames(void* net, const float* x, int64_t size, int64_t steps, const snn_batch* batch) {
    return guarded([=] {
        const Described& to = *static_cast<Described*>(net);
        const Shape shape = to.network.input;
        require(within(steps, 100'000'000) && size == steps * batch->samples * static_cast<int64_t>(shape.values()),
                "the frames have another size");
        run(to, Frames(shape, to.network.analog, x, static_cast<int>(steps), batch->samples), steps, *batch);
    });
}

// pixels uint8 [samples][channels][height][width]. With `moments`, one step of each sample, that of its moment.
int snn_run_images(void* net, const uint8_t* pixels, int64_t size, const int64_t* seeds, const int64_t* moments,
                   const snn_batch* batch) {
    return guarded([=] {
        const Described& to = *static_cast<Described*>(net);
        const Shape shape = to.network.input;
        const int timesteps = static_cast<int>(to.from.timesteps);
        require(to.from.coding == SNN_POISSON || to.from.coding == SNN_DIRECT, "the model takes events, not images");
        require(size == batch->samples * static_cast<int64_t>(shape.values()), "the images have another size");
        for (int64_t i = 0; moments != nullptr && i < batch->samples; i++)
            require(0 <= moments[i] && moments[i] < timesteps, "a moment lies behind the last time step");
        const int64_t steps = moments == nullptr ? timesteps : 1;
        if (to.from.coding == SNN_POISSON)
            run(to, PoissonImages(shape, timesteps, pixels, seeds, moments), steps, *batch);
        else
            run(to, DirectImages(shape, timesteps, pixels, moments), steps, *batch);
    });
}

// recordings[i] int64 [counts[i]][4]: t (µs), x, y, p. With `one_step`, all events of a sample are one step's.
int snn_run_events(void* net, const int64_t* const* recordings, const int64_t* counts, int one_step,
                   const snn_batch* batch) {
    return guarded([=] {
        const Described& to = *static_cast<Described*>(net);
        const int64_t coding = to.from.coding;
        require(coding == SNN_BINARY_BINS || coding == SNN_COUNTED_BINS, "the model takes images, not events");
        for (int64_t i = 0; i < batch->samples; i++) require(counts[i] >= 0, "a recording has a size that cannot be");
        const int timesteps = static_cast<int>(to.from.timesteps);
        const Binning binning{timesteps, to.from.step_us, coding == SNN_COUNTED_BINS};
        const Recordings source(to.network.input, binning, recordings, counts, one_step != 0);
        run(to, source, one_step != 0 ? 1 : timesteps, *batch);
    });
}

}  // extern "C"
