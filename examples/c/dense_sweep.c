/* A forward SOR sweep over a dense matrix as one would write it: a loop over rows, one thread. */

#include <stddef.h>

void sweep(ptrdiff_t n, const double *restrict a, const double *restrict scale,
           const double *restrict b, double *restrict x)
{
    for (ptrdiff_t i = 0; i < n; ++i) {
        const double *row = a + i * n;
        double rest = b[i];
        for (ptrdiff_t j = 0; j < n; ++j)
            rest -= row[j] * x[j];
        x[i] += scale[i] * rest;
    }
}
