// What CuPy's texts use of CUDA, and the emulation does not have. It stands before every text (g++ -include).
#include <cmath>
#include <limits>
#define __noinline__ // a wish, which g++ spells otherwise

// The x at which the standard normal distribution function is p. By bisection, until the interval has no number inside.
static inline double normcdfinv(double p) {
    if (!(p >= 0 && p <= 1)) return std::numeric_limits<double>::quiet_NaN();
    if (p == 0 || p == 1) return p == 0 ? -INFINITY : INFINITY;
    double low = -40, high = 40;
    for (;;) {
        const double x = (low + high) / 2;
        if (!(low < x && x < high)) return x;
        (0.5 * std::erfc(-x * 0.70710678118654752440) < p ? low : high) = x;
    }
}
static inline float normcdfinvf(float p) { return (float)normcdfinv(p); }
