// The stages before the fully connected layers: each takes the spikes of one sample and gives new ones.
#pragma once
#include <memory>

#include "grid_conv.h"
#include "pooling.h"

namespace snn {

// What the stages of one thread work in.
struct StageRoom {
    ConvRoom conv;
    std::vector<Buffer<uint32_t>> of_layers, of_stages;  // spikes, by column and by number
};

inline uint32_t* room_for(std::vector<Buffer<uint32_t>>& buffers, int number, size_t words) {
    if (buffers.size() <= static_cast<size_t>(number)) buffers.resize(number + 1);
    return buffers[number].need(words);
}

class Stage {
public:
    virtual ~Stage() = default;
    // `potentials` of all layers of the sample.
    virtual Signal run(const Signal& input, Potentials potentials, Counts counts, StageRoom& room) const = 0;
    virtual Shape out() const = 0;
    virtual std::vector<Layer*> layers() { return {}; }

protected:
    static Signal run_conv(const GridConv& conv, const Signal& input, Potentials potentials, Counts counts,
                           StageRoom& room) {
        uint32_t* out = room_for(room.of_layers, conv.column, conv.out.bits() * input.steps);
        conv.run(input, out, potentials.at(conv.state_begin), conv.threshold.get(), counts, room.conv);
        return {conv.out, input.steps, out, nullptr, false};
    }
};

class ConvStage : public Stage {
public:
    ConvStage(const snn_synapses& from, Shape in, bool analog) : conv_(from, in, analog) {}
    Signal run(const Signal& input, Potentials potentials, Counts counts, StageRoom& room) const override {
        return run_conv(conv_, input, potentials, counts, room);
    }
    Shape out() const override { return conv_.out; }
    std::vector<Layer*> layers() override { return {&conv_}; }

private:
    GridConv conv_;
};

class PoolStage : public Stage {
public:
    PoolStage(Shape in, int size, int number)
        : out_{in.channels, in.height / size, in.width / size}, size_(size), number_(number) {}
    Signal run(const Signal& input, Potentials, Counts, StageRoom& room) const override {
        uint32_t* out = room_for(room.of_stages, number_, out_.bits() * input.steps);
        max_pool(input, size_, out);
        return {out_, input.steps, out, nullptr, false};
    }
    Shape out() const override { return out_; }

private:
    Shape out_;
    int size_, number_;
};

// Two convolutions beside a shortcut, which is the input itself or a 1 x 1 convolution.
class ResidualStage : public Stage {
public:
    ResidualStage(const snn_synapses& first, const snn_synapses& second, const snn_synapses* shortcut, Shape in,
                  bool analog, int number)
        : first_(first, in, analog), second_(second, first_.out, false), number_(number) {
        if (shortcut != nullptr) shortcut_ = std::make_unique<GridConv>(*shortcut, in, analog);
        const Shape beside = shortcut_ ? shortcut_->out : in;
        require(shortcut_ || !analog, "values other than 0 and 1 have no shortcut");
        require(beside.channels == second_.out.channels, "the shortcut of a residual block has another shape");
    }
    Signal run(const Signal& input, Potentials potentials, Counts counts, StageRoom& room) const override {
        const Signal between = run_conv(first_, input, potentials, counts, room);
        const Signal residual = run_conv(second_, between, potentials, counts, room);
        const Signal beside = shortcut_ ? run_conv(*shortcut_, input, potentials, counts, room) : input;
        const size_t words = residual.shape.bits() * input.steps;
        uint32_t* out = room_for(room.of_stages, number_, words);
        veto(beside.bits, residual.bits, words, out);
        return {residual.shape, input.steps, out, nullptr, false};
    }
    Shape out() const override { return second_.out; }
    std::vector<Layer*> layers() override {
        if (shortcut_) return {&first_, &second_, shortcut_.get()};
        return {&first_, &second_};
    }

private:
    GridConv first_, second_;
    std::unique_ptr<GridConv> shortcut_;
    int number_;
};

}  // namespace snn
