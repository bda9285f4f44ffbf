// Vectors of 16 floats and of 16-bit whole numbers, for AVX-512 (one register each) and AVX2 (two).
#pragma once
#include <immintrin.h>

#include <cstdint>

#define SNN_INLINE static inline __attribute__((always_inline))

namespace snn {

typedef int16_t Short32 __attribute__((vector_size(64), aligned(64), may_alias));
typedef int16_t Short16 __attribute__((vector_size(32), aligned(32), may_alias));
typedef uint16_t Half __attribute__((may_alias));  // half of a word of spikes; the machine is little-endian

#if defined(__AVX512BW__)
constexpr bool wide = true;
typedef Short32 ShortWide;
struct F16 {
    __m512 v;
};
SNN_INLINE F16 load16(const float* p) { return {_mm512_load_ps(p)}; }
SNN_INLINE F16 load16(const int16_t* p) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(p))))};
}
SNN_INLINE F16 load16(const int32_t* p) { return {_mm512_cvtepi32_ps(_mm512_load_si512(p))}; }
SNN_INLINE F16 zero16() { return {_mm512_setzero_ps()}; }
SNN_INLINE F16 operator+(F16 a, F16 b) { return {_mm512_add_ps(a.v, b.v)}; }
SNN_INLINE F16 operator*(F16 a, float b) { return {_mm512_mul_ps(a.v, _mm512_set1_ps(b))}; }
SNN_INLINE void store16(float* p, F16 a) { _mm512_store_ps(p, a.v); }
SNN_INLINE F16 load16_anywhere(const float* p) { return {_mm512_loadu_ps(p)}; }
SNN_INLINE void store16_anywhere(float* p, F16 a) { _mm512_storeu_ps(p, a.v); }
// A bit for each lane of `v` that reaches its threshold; those lanes become zero.
SNN_INLINE uint32_t fire(F16& v, F16 threshold) {
    const __mmask16 fired = _mm512_cmp_ps_mask(v.v, threshold.v, _CMP_GE_OQ);
    v.v = _mm512_mask_mov_ps(v.v, fired, _mm512_setzero_ps());
    return fired;
}
#elif defined(__AVX2__)
constexpr bool wide = false;
typedef Short16 ShortWide;
struct F16 {
    __m256 a, b;
};
SNN_INLINE __m256 half16(const int16_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p))));
}
SNN_INLINE __m256 half16(const int32_t* p) {
    return _mm256_cvtepi32_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
}
SNN_INLINE F16 load16(const float* p) { return {_mm256_load_ps(p), _mm256_load_ps(p + 8)}; }
SNN_INLINE F16 load16(const int16_t* p) { return {half16(p), half16(p + 8)}; }
SNN_INLINE F16 load16(const int32_t* p) { return {half16(p), half16(p + 8)}; }
SNN_INLINE F16 zero16() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
SNN_INLINE F16 operator+(F16 x, F16 y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
SNN_INLINE F16 operator*(F16 x, float y) {
    const __m256 factor = _mm256_set1_ps(y);
    return {_mm256_mul_ps(x.a, factor), _mm256_mul_ps(x.b, factor)};
}
SNN_INLINE void store16(float* p, F16 x) {
    _mm256_store_ps(p, x.a);
    _mm256_store_ps(p + 8, x.b);
}
SNN_INLINE F16 load16_anywhere(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
SNN_INLINE void store16_anywhere(float* p, F16 x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
SNN_INLINE uint32_t fire(F16& v, F16 threshold) {
    const __m256 low = _mm256_cmp_ps(v.a, threshold.a, _CMP_GE_OQ), high = _mm256_cmp_ps(v.b, threshold.b, _CMP_GE_OQ);
    v = {_mm256_andnot_ps(low, v.a), _mm256_andnot_ps(high, v.b)};
    return static_cast<uint32_t>(_mm256_movemask_ps(low)) | static_cast<uint32_t>(_mm256_movemask_ps(high)) << 8;
}
#else
#error "the event engine needs AVX2 or AVX-512"
#endif

// Add 16 sums of a group, and put zeros in their place for the next group.
SNN_INLINE void move16(int32_t* sum, int16_t* group, bool is_first) {
#if defined(__AVX512BW__)
    __m256i* from = reinterpret_cast<__m256i*>(group);
    const __m512i added = _mm512_cvtepi16_epi32(_mm256_load_si256(from));
    _mm512_store_si512(sum, is_first ? added : _mm512_add_epi32(_mm512_load_si512(sum), added));
    _mm256_store_si256(from, _mm256_setzero_si256());
#else
    for (int i = 0; i < 16; i += 8) {
        __m128i* from = reinterpret_cast<__m128i*>(group + i);
        __m256i* to = reinterpret_cast<__m256i*>(sum + i);
        const __m256i added = _mm256_cvtepi16_epi32(_mm_load_si128(from));
        _mm256_store_si256(to, is_first ? added : _mm256_add_epi32(_mm256_load_si256(to), added));
        _mm_store_si128(from, _mm_setzero_si128());
    }
#endif
}

}  // namespace snn
