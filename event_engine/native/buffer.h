// Memory for vectors: aligned to 64 bytes, not initialised, grows on demand and is kept for the next call.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

namespace snn {

template <class T> class Buffer {
public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    Buffer(Buffer&& other) noexcept : data_(other.data_), size_(other.size_) { other.data_ = nullptr, other.size_ = 0; }
    ~Buffer() { std::free(data_); }

    // At least `size` values; what they hold is undefined after growth.
    T* need(size_t size) {
        if (size > size_) {
            std::free(data_);
            data_ = nullptr, size_ = 0;
            data_ = static_cast<T*>(std::aligned_alloc(64, (size * sizeof(T) + 63) / 64 * 64));
            if (data_ == nullptr) throw std::bad_alloc();
            size_ = size;
        }
        return data_;
    }

    T* zeroed(size_t size) {
        need(size);
        if (size > 0) std::memset(static_cast<void*>(data_), 0, size * sizeof(T));
        return data_;
    }

    T* get() const { return data_; }
    size_t bytes() const { return size_ * sizeof(T); }

private:
    T* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace snn
