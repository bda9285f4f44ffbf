#include "network.h"

#include <algorithm>
#include <exception>
#include <thread>

namespace snn {

constexpr int most_steps = 32;           // at once; a longer run goes on from the potentials
constexpr double thread_work = 50e6;     // synapses x steps, as if dense, for which another thread pays

struct Network::Room {
    std::vector<SourceRoom> sources;
    std::vector<Signal> inputs;
    StageRoom stages;
    FullRoom full;
    Buffer<uint64_t> fired;
    Buffer<uint32_t> rows;
    Buffer<float> potentials;
    // Of the samples that go on, by their place among them:
    std::vector<int> which;
    std::vector<Counts> counts;
    std::vector<int64_t*> scores;
    std::vector<int64_t> votes;  // [places][classes], of all steps so far
};

Network::Network(Shape input, bool analog, int classes, int voters)
    : input(input), analog(analog), classes_(classes), voters_(voters) {}

Network::~Network() = default;

void Network::adopt(const std::vector<Layer*>& layers) {
    for (Layer* layer : layers) {
        layer->column = static_cast<int>(layers_++);
        layer->state_begin = neurons_;
        neurons_ += layer->out.values();
        bytes_ += layer->bytes();
        synapses_ += static_cast<double>(layer->out.values()) * layer->in.channels *
                     (layer->kernel * layer->kernel) * (layer->out.height == 1 ? layer->in.positions() : 1);
    }
}

void Network::add_stage(std::unique_ptr<Stage> stage) {
    require(full_.empty(), "a fully connected layer is followed by another kind");
    adopt(stage->layers());
    stages_.push_back(std::move(stage));
}

void Network::add_conv(const snn_synapses& from) {
    add_stage(std::make_unique<ConvStage>(from, shape(), next_is_analog()));
}

void Network::add_residual(const snn_synapses& first, const snn_synapses& second, const snn_synapses* shortcut) {
    const int number = static_cast<int>(stages_.size());
    add_stage(std::make_unique<ResidualStage>(first, second, shortcut, shape(), next_is_analog(), number));
}

void Network::add_pool(int64_t size) {
    require(!next_is_analog(), "values other than 0 and 1 cannot be pooled");
    require(1 <= size && size <= std::min(shape().height, shape().width), "a window does not fit into the image");
    add_stage(std::make_unique<PoolStage>(shape(), static_cast<int>(size), static_cast<int>(stages_.size())));
}

void Network::add_full(const snn_synapses& from) {
    const Shape in = full_.empty() ? shape() : full_.back()->out;
    full_.push_back(std::make_unique<GridFull>(from, in, next_is_analog()));
    adopt({full_.back().get()});
}

int Network::workers(int threads, int steps, int64_t samples) const {
    const double useful = synapses_ * steps * static_cast<double>(samples) / thread_work;
    return static_cast<int>(std::clamp<int64_t>(static_cast<int64_t>(useful), 1, std::min<int64_t>(threads, samples)));
}

std::unique_ptr<Network::Room> Network::borrow() const {
    const std::lock_guard<std::mutex> guard(idle_lock_);
    if (idle_.empty()) return std::make_unique<Room>();
    std::unique_ptr<Room> room = std::move(idle_.back());
    idle_.pop_back();
    return room;
}

void Network::run(const Source& source, int steps, int64_t samples, int threads, float* potentials,
                  const Exit& exit, const Results& results) const {
    require(!full_.empty(), "the network has no voting layer");
    require(full_.back()->out.channels == static_cast<int64_t>(classes_) * voters_,
            "the voting layer has another number of neurons");
    if (samples == 0) return;
    const int count = workers(threads, steps, samples);
    const std::vector<int> ends = parts(steps, exit.leads);
    std::vector<std::exception_ptr> failures(count);
    auto work = [&](int worker) noexcept {
        try {
            std::unique_ptr<Room> room = borrow();
            run_range(source, ends, samples * worker / count, samples * (worker + 1) / count, potentials, exit, results,
                      *room);
            const std::lock_guard<std::mutex> guard(idle_lock_);
            idle_.push_back(std::move(room));
        } catch (...) {
            failures[worker] = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    int started = 1;
    try {
        for (; started < count; started++) others.emplace_back(work, started);
    } catch (const std::system_error&) {  // no more threads: this one does the rest
    }
    work(0);
    for (int worker = started; worker < count; worker++) work(worker);
    for (std::thread& thread : others) thread.join();
    for (const std::exception_ptr& failure : failures)
        if (failure) std::rethrow_exception(failure);
}

// The steps at which a part of a run ends: steps of one part are run at once, and those of the next go on from the
// potentials. A part ends where a sample may leave: where votes can be as far apart as `leads` asks.
std::vector<int> Network::parts(int steps, const int64_t* leads) const {
    std::vector<int> ends;
    int first = 0;
    for (int end = 1; end <= steps; end++) {
        const bool may_leave = leads != nullptr && leads[end - 1] <= static_cast<int64_t>(voters_) * end;
        if (end == steps || end - first == most_steps || may_leave) ends.push_back(first = end);
    }
    return ends;
}

static int64_t count_input(const Signal& part) {
    if (part.bits != nullptr) return count_bits(part.bits, part.shape.bits() * part.steps);
    const int64_t counted = count_values(part.values, part.shape.values() * part.distinct_steps());
    return part.constant ? counted * part.steps : counted;
}

void Network::run_range(const Source& source, const std::vector<int>& ends, int64_t begin, int64_t end,
                        float* potentials, const Exit& exit, const Results& results, Room& room) const {
    int longest = 0, before = 0;
    for (const int part : ends) longest = std::max(longest, part - before), before = part;
    const int steps = ends.back(), most_samples = Rows::most / longest;
    const bool in_parts = ends.size() > 1;
    room.counts.resize(most_samples), room.scores.resize(most_samples), room.which.resize(most_samples);
    for (int64_t start = begin; start < end; start += most_samples) {
        const int samples = static_cast<int>(std::min<int64_t>(most_samples, end - start));
        float* states = potentials != nullptr ? potentials + start * neurons_
                        : in_parts            ? room.potentials.need(samples * neurons_)
                                              : nullptr;
        // The inputs of all samples are kept where they are needed again.
        const bool keep = in_parts || (stages_.empty() && analog);
        if (room.sources.size() < static_cast<size_t>(samples)) room.sources.resize(samples);
        room.inputs.resize(samples);
        room.votes.assign(exit.leads == nullptr ? 0 : static_cast<size_t>(samples) * classes_, 0);
        for (int s = 0; s < samples; s++) room.which[s] = s;
        int going = samples, first = 0;
        for (size_t part = 0; part < ends.size() && going > 0; first = ends[part++]) {
            const int here = ends[part] - first;
            const bool is_last = part + 1 == ends.size(), from_rest = potentials == nullptr && first == 0;
            const Potentials between{from_rest ? nullptr : states,
                                     potentials == nullptr && is_last ? nullptr : states};
            if (!full_[0]->analog) room.fired.zeroed(2 * full_[0]->inputs());
            for (int place = 0; place < going; place++) {
                const int64_t sample = start + room.which[place], row = sample * steps + first;
                if (first == 0) {
                    room.inputs[place] = source.encode(sample, room.sources[keep ? place : 0]);
                    results.input[sample] = 0;
                }
                const Signal input = room.inputs[place].between(first, here);
                results.input[sample] += count_input(input);
                uint8_t* fired = results.fired == nullptr ? nullptr : results.fired + row * neurons_;
                room.counts[place] = {results.spikes + row * layers_, results.synops + row * layers_, layers_, fired,
                                      neurons_};
                room.scores[place] = results.scores + row * classes_;
                run_stages(input, place * here, between.at(place * neurons_), room.counts[place], room);
            }
            run_full(going, here, first, between, room.counts.data(), room.scores.data(), room);
            if (exit.leads != nullptr) going = let_go(going, first, ends[part], exit, states, start, room);
        }
        for (int place = 0; exit.leads != nullptr && place < going; place++)
            exit.used[start + room.which[place]] = steps;
    }
}

// How many more votes the leading class has than the second, 0 where several lead.
static int64_t lead_of(const int64_t* votes, int classes) {
    int64_t first = 0, second = 0;
    for (int k = 0; k < classes; k++) {
        second = std::max(second, std::min(first, votes[k]));
        first = std::max(first, votes[k]);
    }
    return first - second;
}

// After the steps from `first` to `end`: samples that lead by enough end, and the last ones take their places, so that
// those that go on lie together. Returns how many there are.
int Network::let_go(int going, int first, int end, const Exit& exit, float* states, int64_t start, Room& room) const {
    for (int place = going - 1; place >= 0; place--) {
        int64_t* votes = room.votes.data() + static_cast<size_t>(place) * classes_;
        const int64_t* score = room.scores[place];
        for (int t = first; t < end; t++)
            for (int k = 0; k < classes_; k++) votes[k] += *score++;
        if (lead_of(votes, classes_) < exit.leads[end - 1]) continue;
        exit.used[start + room.which[place]] = end;
        const int last = --going;
        if (place == last) continue;
        room.which[place] = room.which[last], room.inputs[place] = room.inputs[last];
        std::copy_n(room.votes.data() + static_cast<size_t>(last) * classes_, classes_, votes);
        if (states != nullptr) std::copy_n(states + last * neurons_, neurons_, states + place * neurons_);
    }
    return going;
}

// The stages of one sample, and in which rows the inputs of the first fully connected layer fire.
void Network::run_stages(Signal signal, int first_row, Potentials potentials, Counts counts, Room& room) const {
    for (const auto& stage : stages_) signal = stage->run(signal, potentials, counts, room.stages);
    full_[0]->count_synops(signal, counts);
    if (signal.bits == nullptr) return;
    const size_t positions = signal.shape.positions();
    const int words = signal.shape.words(), channels = signal.shape.channels;
    const uint32_t* bits = signal.bits;
    for (int t = 0; t < signal.steps; t++) {
        const int row = first_row + t;
        uint64_t* fired = room.fired.get() + row / 64;
        const uint64_t bit = uint64_t{1} << (row % 64);
        for (size_t p = 0; p < positions; p++)
            for (int i = 0; i < words; i++)
                for (uint32_t left = *bits++, base = i * 32; left; left &= left - 1)
                    fired[2 * (p * channels + base + __builtin_ctz(left))] |= bit;
    }
}

// The fully connected layers of all samples.
void Network::run_full(int samples, int steps, int first_step, Potentials potentials, const Counts* counts,
                       int64_t* const* scores, Room& room) const {
    for (size_t number = 0; number < full_.size(); number++) {
        const GridFull &layer = *full_[number], *next = number + 1 < full_.size() ? full_[number + 1].get() : nullptr;
        const size_t words = layer.out.words();
        uint32_t* out = room.rows.need(words * samples * steps);
        const Potentials states = potentials.at(layer.state_begin);
        if (layer.analog)
            for (int s = 0; s < samples; s++)
                layer.run_values(room.inputs[s].between(first_step, steps), out + words * s * steps,
                                 states.at(s * neurons_), room.full);
        else
            layer.run({samples, steps, room.fired.get()}, out, states, neurons_, room.full);
        if (next != nullptr) room.fired.zeroed(2 * next->inputs());
        for (int row = 0; row < samples * steps; row++) {
            const int s = row / steps, t = row % steps;
            int64_t count = 0;
            if (counts[s].fired != nullptr) layer.mark_fired(out, t, counts[s]);
            if (next == nullptr) std::fill_n(scores[s] + t * classes_, classes_, 0);
            for (size_t i = 0; i < words; i++)
                for (uint32_t left = *out++, base = i * 32; left; left &= left - 1, count++) {
                    const uint32_t neuron = base + __builtin_ctz(left);
                    if (next != nullptr)
                        room.fired.get()[2 * neuron + row / 64] |= uint64_t{1} << (row % 64);
                    else
                        scores[s][t * classes_ + neuron / voters_]++;
                }
            int64_t* spikes = counts[s].spikes + t * layers_;
            int64_t* synops = counts[s].synops + t * layers_;
            spikes[layer.column] = count;
            if (next != nullptr) synops[next->column] = count * next->fan_out[0];
        }
    }
}

}  // namespace snn
