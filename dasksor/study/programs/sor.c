/* SOR on a dense matrix with POSIX threads, as the founding course project had it in 2014.
 *
 *     cc -O3 -march=native -fopenmp-simd -pthread sor.c -o sor -lm
 *     sor MATRIX [-b RHS] [-t THREADS] [-w OMEGA] [-s] [-r RTOL | -e EPS] [-k SWEEPS] [-l SECONDS]
 *         [-o X]
 *
 * MATRIX is NumPy's .npy (float64, by rows) or text: "n n nnz", lines "i j value", "0 0 0". RHS is
 * .npy; by default b = A (1, 2, ..., n). X receives the answer as bare float64.
 *
 * Every thread owns an equal contiguous block of rows. All start from x = 0, share x and change it
 * in place without waiting; with -s (synchronous) every sweep reads what the others had after
 * the sweep before, and ends at a barrier.
 *
 * How it ends. A block whose last sweep was quiet raises its flag. The thread that has the token
 * looks at the flags; when all are up it orders a global test: everybody meets at a barrier, makes
 * one more pass, and adds what it found. Good enough ends the run, else the token moves on.
 *   -e EPS   (the test of 2014) quiet is a sum of squared changes below EPS, the pass is a sweep
 *   -r RTOL  quiet is the same of residuals, the pass measures b - A x of the x that stands
 *            still, and the run ends when norm(b - A x) <= RTOL norm(b)
 */

#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE 64 /* bytes of a cache line */
#define SPINS 2000
#define HISTORY 1000

typedef struct {
    alignas(LINE) atomic_int up; /* this sweep was quiet */
    alignas(LINE) double found;  /* sum of squares in the last pass of a global test */
    double computation, tests, synchronisation, copies;
    long sweeps;
    int begin, end;
} Block;

typedef struct {
    alignas(LINE) atomic_uint next;
    alignas(LINE) atomic_uint serving;
} TicketLock;

typedef struct {
    alignas(LINE) atomic_int missing;
    alignas(LINE) atomic_int sense;
} Barrier;

static int n, threads = 1, synchronous;
static double *a, *b, *shared[2], omega = 1.0, rtol, eps, target, limit = 600.0, started;
static long most = 100000, tests;
static Block *blocks;
static Barrier barrier;
static TicketLock lock;
static double total;
static alignas(LINE) atomic_int testing;
static alignas(LINE) atomic_int last; /* sweeps or time are used up */
static alignas(LINE) atomic_int token;
static int stop, success, turns; /* changed only by the last to reach a barrier */
static double history[HISTORY][3];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "sor: %s\n", what);
    exit(2);
}

static void *lines(size_t bytes)
{
    void *memory = aligned_alloc(LINE, (bytes + LINE - 1) / LINE * LINE);
    if (memory == NULL)
        fail("out of memory");
    memset(memory, 0, bytes);
    return memory;
}

/* Synchronisation. With more threads than cores the awaited one may need this very core. */

static void pause_at(int spin)
{
    if (spin > SPINS)
        sched_yield();
}

static void acquire(TicketLock *it)
{
    unsigned mine = atomic_fetch_add(&it->next, 1);
    for (int spin = 0; atomic_load(&it->serving) != mine; ++spin)
        pause_at(spin);
}

static void release(TicketLock *it) { atomic_fetch_add(&it->serving, 1); }

/* The last to arrive does `act` while all others wait. */
static void meet(Block *me, int *sense, void (*act)(void))
{
    double began = now();
    *sense = !*sense;
    if (atomic_fetch_sub(&barrier.missing, 1) == 1) {
        if (act)
            act();
        atomic_store(&barrier.missing, threads);
        atomic_store(&barrier.sense, *sense);
    } else {
        for (int spin = 0; atomic_load(&barrier.sense) != *sense; ++spin)
            pause_at(spin);
    }
    me->synchronisation += now() - began;
}

/* Arithmetic */

static double dot(const double *row, const double *x)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int j = 0; j < n; ++j)
        sum += row[j] * x[j];
    return sum;
}

/* One sweep over a block; the sum of squared changes, or of residuals where rtol counts.
 * Others read x meanwhile: aligned words of 8 bytes, of which they get the old or the new. */
static double sweep(const Block *me, double *x)
{
    double squares = 0.0;
    for (int i = me->begin; i < me->end; ++i) {
        const double *row = a + (size_t)i * n;
        double rest = b[i] - dot(row, x), change = omega / row[i] * rest;
        x[i] += change;
        squares += rtol > 0.0 ? rest * rest : change * change;
    }
    return squares;
}

static double residual(int begin, int end, const double *x)
{
    double squares = 0.0;
    for (int i = begin; i < end; ++i) {
        double rest = b[i] - dot(a + (size_t)i * n, x);
        squares += rest * rest;
    }
    return squares;
}

/* What x a thread works on: in synchronous mode its own copy of what all had after a sweep. */

static void fetch(Block *me, double *x)
{
    double began = now();
    if (synchronous)
        memcpy(x, shared[turns % 2], n * sizeof(double));
    me->copies += now() - began;
}

static void publish(Block *me, const double *x)
{
    double began = now();
    if (synchronous)
        memcpy(shared[(turns + 1) % 2] + me->begin, x + me->begin,
               (me->end - me->begin) * sizeof(double));
    me->copies += now() - began;
}

/* Ends */

static int all_up(void)
{
    for (int t = 0; t < threads; ++t)
        if (!atomic_load(&blocks[t].up))
            return 0;
    return 1;
}

static void swept(void)
{
    turns += 1;
    if (all_up() || atomic_load(&last))
        atomic_store(&testing, 1);
}

static void verdict(void)
{
    double sweeps = 0.0;
    for (int t = 0; t < threads; ++t)
        sweeps += (double)blocks[t].sweeps / threads;
    if (rtol > 0.0 && tests < HISTORY) {
        history[tests][0] = now() - started;
        history[tests][1] = sweeps;
        history[tests][2] = sqrt(total);
    }
    tests += 1;
    turns += synchronous && eps > 0.0;
    success = total <= target;
    stop = success || atomic_load(&last);
    total = 0.0;
    atomic_store(&token, (atomic_load(&token) + 1) % threads);
    atomic_store(&testing, 0);
}

static void test(Block *me, double *x, int *sense)
{
    meet(me, sense, NULL);
    fetch(me, x);
    double began = now();
    if (rtol > 0.0) {
        me->found = residual(me->begin, me->end, x);
    } else {
        me->found = sweep(me, x);
        me->sweeps += 1;
        publish(me, x);
    }
    me->tests += now() - began;
    acquire(&lock);
    total += me->found;
    release(&lock);
    meet(me, sense, verdict);
}

static void *work(void *block)
{
    Block *me = block;
    int mine = me - blocks, sense = 0;
    double *x = synchronous ? lines(n * sizeof(double)) : shared[0];
    double quiet = rtol > 0.0 ? target * (me->end - me->begin) / n : target;
    while (!stop) {
        fetch(me, x);
        double began = now(), squares = sweep(me, x), ended = now();
        me->computation += ended - began;
        me->sweeps += 1;
        publish(me, x);
        atomic_store(&me->up, squares <= quiet);
        if (me->sweeps >= most || ended - started > limit || !isfinite(squares))
            atomic_store(&last, 1);
        if (synchronous)
            meet(me, &sense, swept);
        else if (atomic_load(&last) || (atomic_load(&token) == mine && all_up()))
            atomic_store(&testing, 1);
        if (atomic_load(&testing))
            test(me, x, &sense);
        else /* others may wait for this core: sweeps against values that nobody renews are wasted */
            sched_yield();
    }
    if (synchronous)
        free(x);
    return NULL;
}

static void pin(pthread_t thread, int number, cpu_set_t allowed)
{
    cpu_set_t one;
    for (int core = 0, seen = 0; core < CPU_SETSIZE; ++core)
        if (CPU_ISSET(core, &allowed) && seen++ == number) {
            CPU_ZERO(&one);
            CPU_SET(core, &one);
            pthread_setaffinity_np(thread, sizeof one, &one);
        }
}

/* Files */

/* The numbers of an .npy file of n rows; NULL where it is none. Sets n from a matrix. */
static double *read_npy(const char *path, int columns)
{
    unsigned char head[10];
    char text[4096] = "";
    long rows, wide = 1;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail("cannot open a file: check its name");
    if (fread(head, 1, 10, file) != 10 || memcmp(head, "\x93NUMPY\x01", 7) != 0) {
        fclose(file);
        return NULL;
    }
    size_t length = head[8] + 256u * head[9];
    if (length >= sizeof text || fread(text, 1, length, file) != length)
        fail("damaged npy file");
    char *shape = strstr(text, "'shape': (");
    int given = shape ? sscanf(shape, "'shape': (%ld, %ld", &rows, &wide) : 0;
    if (!strstr(text, "'<f8'") || strstr(text, "True") || given != columns)
        fail("an npy file must hold float64 by rows: a square matrix, or a vector");
    if (columns == 2 && rows == wide)
        n = rows;
    size_t count = (size_t)rows * wide;
    if (rows != n || (columns == 2 && wide != n))
        fail("the matrix must be square, and b as long");
    double *numbers = lines(count * sizeof(double));
    if (fread(numbers, sizeof(double), count, file) != count)
        fail("truncated npy file");
    fclose(file);
    return numbers;
}

static double *read_text(const char *path)
{
    int i, j, columns;
    double value, *numbers;
    FILE *file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%d %d %*d", &n, &columns) != 2 || n != columns || n < 1)
        fail("the text must begin with a line 'n n nnz'");
    numbers = lines((size_t)n * n * sizeof(double));
    while (fscanf(file, "%d %d %lf", &i, &j, &value) == 3 && i > 0) {
        if (i > n || j < 1 || j > n)
            fail("an index is outside of the matrix");
        numbers[(size_t)(i - 1) * n + j - 1] = value;
    }
    fclose(file);
    return numbers;
}

/* JSON as Python reads it. */
static void put(const char *before, double number)
{
    printf(isfinite(number) ? "%s%.9g" : "%sNaN", before, number);
}

static void report(double seconds, double norm, const double *x)
{
    double computation = 0.0, testing = 0.0, synchronisation = 0.0, copies = 0.0;
    printf("{\"success\": %s, \"sweeps_per_block\": [", success ? "true" : "false");
    for (int t = 0; t < threads; ++t) {
        printf("%s%ld", t ? ", " : "", blocks[t].sweeps);
        computation += blocks[t].computation;
        testing += blocks[t].tests;
        synchronisation += blocks[t].synchronisation;
        copies += blocks[t].copies;
    }
    put("], \"seconds\": ", seconds);
    put(", \"omega\": ", omega);
    put(", \"residual\": ", sqrt(residual(0, n, x)) / norm);
    put(", \"compute\": ", computation);
    put(", \"tests\": ", testing);
    put(", \"waiting\": ", synchronisation);
    put(", \"communication\": ", copies);
    printf(", \"history\": [");
    for (int k = 0; rtol > 0.0 && k < tests && k < HISTORY; ++k) {
        put(k ? ", [" : "[", history[k][0]);
        put(", ", history[k][1]);
        put(", ", history[k][2] / norm);
        printf("]");
    }
    printf("]}\n");
}

int main(int argc, char **argv)
{
    const char *rhs = NULL, *output = NULL;
    for (int option; (option = getopt(argc, argv, "b:t:w:sr:e:k:l:o:")) != -1;)
        switch (option) {
        case 'b': rhs = optarg; break;
        case 't': threads = atoi(optarg); break;
        case 'w': omega = atof(optarg); break;
        case 's': synchronous = 1; break;
        case 'r': rtol = atof(optarg); break;
        case 'e': eps = atof(optarg); break;
        case 'k': most = atol(optarg); break;
        case 'l': limit = atof(optarg); break;
        case 'o': output = optarg; break;
        default: fail("see the head of sor.c for the options");
        }
    if (optind + 1 != argc || threads < 1 || !(omega > 0.0 && omega < 2.0) || rtol * eps != 0.0)
        fail("needs one MATRIX, THREADS >= 1, OMEGA in (0, 2), and at most one of -r and -e");
    if (rtol <= 0.0 && eps <= 0.0)
        eps = 1e-8;
    a = read_npy(argv[optind], 2);
    if (a == NULL)
        a = read_text(argv[optind]);
    if (threads > n)
        fail("more threads than rows: take fewer");
    shared[0] = lines(n * sizeof(double));
    shared[1] = lines(n * sizeof(double));
    b = rhs ? read_npy(rhs, 1) : lines(n * sizeof(double));
    if (b == NULL)
        fail("b must be an npy file");
    for (int i = 0; i < n; ++i) {
        if (a[(size_t)i * n + i] == 0.0)
            fail("zero on the diagonal: SOR needs a nonzero diagonal");
        for (int j = 0; j < n && rhs == NULL; ++j)
            b[i] += a[(size_t)i * n + j] * (j + 1);
    }
    double norm = sqrt(residual(0, n, shared[0])); /* of x = 0 */
    target = rtol > 0.0 ? rtol * norm * rtol * norm : eps;

    blocks = lines(threads * sizeof(Block));
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof allowed, &allowed);
    pthread_t *handles = lines(threads * sizeof(pthread_t));
    atomic_store(&barrier.missing, threads);
    started = now();
    for (int t = 0; t < threads; ++t) {
        blocks[t].begin = (int)((long)n * t / threads);
        blocks[t].end = (int)((long)n * (t + 1) / threads);
    }
    for (int t = 0; t < threads; ++t) {
        if (pthread_create(&handles[t], NULL, work, &blocks[t]) != 0)
            fail("cannot start a thread");
        if (threads <= CPU_COUNT(&allowed))
            pin(handles[t], t, allowed);
    }
    for (int t = 0; t < threads; ++t)
        pthread_join(handles[t], NULL);
    double seconds = now() - started;
    const double *x = shared[turns % 2];
    report(seconds, norm > 0.0 ? norm : 1.0, x);
    FILE *file = output ? fopen(output, "wb") : NULL;
    if (output && (file == NULL || fwrite(x, sizeof(double), n, file) != (size_t)n || fclose(file)))
        fail("cannot write X");
    return success ? 0 : 1;
}
