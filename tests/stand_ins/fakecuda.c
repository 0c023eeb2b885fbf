/* A libcuda.so.1 for machines without a GPU: device memory is host memory, work on streams is done at once.
 *
 * It is as unhelpful as a GPU, so that mistakes show:
 *   - fresh device and pinned memory holds a pattern, never zeros; freed memory is overwritten;
 *   - a copy to pinned host memory arrives when its stream, an event after it, or the context is synchronized, and
 *     not before (one to pageable memory is complete when the call returns, as CUDA says);
 *   - a pinned source that changes while its upload may still be under way is counted (fake_races);
 *   - a copy outside of what was allocated, a call without a context, or one with a destroyed stream is refused;
 *   - after an illegal address or a failed launch every later call fails, as on a GPU.
 * The fake_* functions at the end are for tests: they plan failures, count calls and tell what is still held.
 */
#define __CUDA_API_VERSION_INTERNAL /* cuda.h would rename cuMemAlloc to cuMemAlloc_v2 and so on */
#include <cuda.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FRESH_DEVICE = 0xC3, FRESH_PINNED = 0x5A, FREED = 0xDB };
enum { DEVICES = 8, DEPTH = 64, CALLS = 256, GRAVES = 64 };

/* ---------------------------------------------------------------- what is played, and what was asked for */

static struct { int devices, major, minor, driver; size_t memory; char name[128]; } gpu;
static struct call { char name[48]; int count, planned, after; CUresult code; } calls[CALLS];
static int initialised, races;
static CUresult lost; /* the error that every later call returns */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct call *call_of(const char *name)
{
    struct call *c = calls;
    while (c->name[0] && strcmp(c->name, name)) c++;
    strncpy(c->name, name, sizeof c->name - 1);
    return c;
}

static CUresult enter(const char *name)
{
    struct call *c = call_of(name);
    c->count++;
    if (!c->planned) return CUDA_SUCCESS;
    if (c->after > 0) { c->after--; return CUDA_SUCCESS; }
    if (c->code == CUDA_ERROR_ILLEGAL_ADDRESS || c->code == CUDA_ERROR_LAUNCH_FAILED) lost = c->code;
    return c->code;
}

static void unlock(int *held) { (void)held; pthread_mutex_unlock(&mutex); }

#define LOCKED __attribute__((cleanup(unlock), unused)) int held = pthread_mutex_lock(&mutex)
#define REFUSE_IF(test, code) do { if (test) return code; } while (0)
#define CALL LOCKED; CUresult planned = enter(__func__); REFUSE_IF(planned, planned)
#define IN_CONTEXT CALL; CUresult missing = missing_context(); REFUSE_IF(missing, missing)
#define WORKING_CONTEXT IN_CONTEXT; REFUSE_IF(lost, lost)

CUresult fake_unsupported(const char *name)
{
    LOCKED;
    CUresult planned = enter(name);
    return planned ? planned : CUDA_ERROR_NOT_SUPPORTED;
}

/* ---------------------------------------------------------------- contexts: a stack per thread */

#define PRIMARY 0x1000
static int retained[DEVICES];
static __thread CUcontext stack[DEPTH];
static __thread int depth;

static int is_primary(CUcontext c) { return (uintptr_t)c >= PRIMARY && (uintptr_t)c < PRIMARY + DEVICES; }
static int is_destroyed(CUcontext c) { return is_primary(c) && !retained[(uintptr_t)c - PRIMARY]; }

static CUresult missing_context(void)
{
    if (!depth) return initialised ? CUDA_ERROR_INVALID_CONTEXT : CUDA_ERROR_NOT_INITIALIZED;
    return is_destroyed(stack[depth - 1]) ? CUDA_ERROR_CONTEXT_IS_DESTROYED : CUDA_SUCCESS;
}

static CUresult push(CUcontext c)
{
    REFUSE_IF(depth == DEPTH || is_destroyed(c), CUDA_ERROR_INVALID_CONTEXT);
    stack[depth++] = c;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *c, CUdevice d)
{
    CALL;
    REFUSE_IF(!initialised, CUDA_ERROR_NOT_INITIALIZED);
    REFUSE_IF(d >= gpu.devices, CUDA_ERROR_INVALID_DEVICE);
    REFUSE_IF(lost, lost);
    retained[d]++;
    *c = (CUcontext)(uintptr_t)(PRIMARY + d);
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice d)
{
    CALL;
    REFUSE_IF(!retained[d], CUDA_ERROR_INVALID_CONTEXT);
    /* CUDA leaves it on the stack, destroyed; PyCUDA, which pushes a context to detach it, takes it to be gone. */
    if (!--retained[d] && depth && stack[depth - 1] == (CUcontext)(uintptr_t)(PRIMARY + d)) depth--;
    return CUDA_SUCCESS;
}

CUresult cuCtxCreate_v4(CUcontext *c, CUctxCreateParams *p, unsigned flags, CUdevice d)
{
    static uintptr_t next = PRIMARY + DEVICES;
    CALL;
    (void)p, (void)flags, (void)d;
    *c = (CUcontext)next++;
    return push(*c);
}

CUresult cuCtxAttach(CUcontext *c, unsigned flags)
{
    IN_CONTEXT;
    (void)flags;
    *c = stack[depth - 1];
    return CUDA_SUCCESS;
}

CUresult cuCtxDetach(CUcontext c) { CALL; if (depth && stack[depth - 1] == c) depth--; return CUDA_SUCCESS; }
CUresult cuCtxPushCurrent_v2(CUcontext c) { CALL; return push(c); }

CUresult cuCtxPopCurrent_v2(CUcontext *c)
{
    CALL;
    REFUSE_IF(!depth, CUDA_ERROR_INVALID_CONTEXT);
    *c = stack[--depth];
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice *d)
{
    IN_CONTEXT;
    *d = is_primary(stack[depth - 1]) ? (int)((uintptr_t)stack[depth - 1] - PRIMARY) : 0;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetApiVersion(CUcontext c, unsigned *v) { CALL; (void)c; *v = 3020; return CUDA_SUCCESS; }

/* ---------------------------------------------------------------- the driver and the device */

CUresult cuInit(unsigned flags)
{
    CALL;
    (void)flags;
    REFUSE_IF(gpu.devices <= 0, CUDA_ERROR_NO_DEVICE);
    initialised = 1;
    return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *v) { CALL; *v = gpu.driver; return CUDA_SUCCESS; }

CUresult cuDeviceGetCount(int *n)
{
    CALL;
    REFUSE_IF(!initialised, CUDA_ERROR_NOT_INITIALIZED);
    *n = gpu.devices;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *d, int i)
{
    CALL;
    REFUSE_IF(!initialised, CUDA_ERROR_NOT_INITIALIZED);
    REFUSE_IF(i < 0 || i >= gpu.devices, CUDA_ERROR_INVALID_DEVICE);
    *d = i;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *text, int size, CUdevice d)
{
    CALL;
    (void)d;
    strncpy(text, gpu.name, size);
    text[size - 1] = 0;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *v, CUdevice_attribute a, CUdevice d)
{
    CALL;
    (void)d;
    *v = a == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? gpu.major
       : a == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? gpu.minor : 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice d)
{
    CALL;
    (void)d;
    *major = gpu.major;
    *minor = gpu.minor;
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice d) { CALL; (void)d; *bytes = gpu.memory; return CUDA_SUCCESS; }

static const char *const errors[][2] = {
    [0] = {"CUDA_SUCCESS", "no error"},
    [1] = {"CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    [2] = {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    [3] = {"CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    [100] = {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    [101] = {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    [201] = {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    [400] = {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    [600] = {"CUDA_ERROR_NOT_READY", "device not ready"},
    [700] = {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    [709] = {"CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    [719] = {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    [801] = {"CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    [803] = {"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
    [999] = {"CUDA_ERROR_UNKNOWN", "unknown error"},
};

static CUresult describe(CUresult e, int which, const char **text)
{
    *text = (size_t)e < sizeof errors / sizeof *errors ? errors[e][which] : NULL;
    return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorName(CUresult e, const char **text) { return describe(e, 0, text); }
CUresult cuGetErrorString(CUresult e, const char **text) { return describe(e, 1, text); }

/* ---------------------------------------------------------------- streams, and what is still under way on them */

struct CUstream_st { int nonblocking, destroyed, asked, queued; };
struct CUevent_st { CUstream stream; unsigned long when; unsigned flags; int destroyed, asked; struct timespec time; };

#define EVERY_STREAM ((CUstream)-1)
#define EVER (~0ul)

/* A download that has not arrived, an upload whose source must not change yet, or a wait for another stream's event. */
static struct work {
    struct work *next;
    CUstream stream, awaited;
    unsigned long when, awaited_until;
    char *host, *copy;
    size_t bytes;
    int upload;
} *under_way;

static unsigned long now; /* counts what was put on streams */
static int streams, events;

static int blocking(CUstream s) { return !s || !s->nonblocking; }

static int concerns(const struct work *w, CUstream s, unsigned long until)
{
    if (w->when > until) return 0;
    if (s == EVERY_STREAM || w->stream == s) return 1;
    return (!s || !w->stream) && blocking(s) && blocking(w->stream); /* the default stream waits for blocking ones */
}

static int is_under_way(CUstream s, unsigned long until)
{
    for (struct work *w = under_way; w; w = w->next)
        if (concerns(w, s, until)) return 1;
    return 0;
}

static struct work *put(CUstream s)
{
    struct work **end = &under_way, *w = calloc(1, sizeof *w);
    while (*end) end = &(*end)->next;
    w->stream = s;
    w->when = ++now;
    return *end = w;
}

static void finish(CUstream s, unsigned long until)
{
    struct work **at = &under_way, *w;
    while ((w = *at)) {
        if (!concerns(w, s, until)) { at = &w->next; continue; }
        *at = w->next;
        if (w->upload) races += memcmp(w->host, w->copy, w->bytes) != 0;
        else if (w->copy) memcpy(w->host, w->copy, w->bytes);
        else { finish(w->awaited, w->awaited_until); at = &under_way; }
        free(w->copy);
        free(w);
    }
}

/* The first question after new work is answered with "not yet", so that only a loop that asks again gets on. */
static CUresult query(CUstream s, unsigned long until, int *asked)
{
    if (is_under_way(s, until) && !*asked) { *asked = 1; return CUDA_ERROR_NOT_READY; }
    finish(s, until);
    *asked = 0;
    return CUDA_SUCCESS;
}

#define USABLE_STREAM WORKING_CONTEXT; REFUSE_IF(s && s->destroyed, CUDA_ERROR_INVALID_HANDLE)
#define USABLE_EVENT WORKING_CONTEXT; REFUSE_IF(e->destroyed, CUDA_ERROR_INVALID_HANDLE)

CUresult cuCtxSynchronize(void) { WORKING_CONTEXT; finish(EVERY_STREAM, EVER); return CUDA_SUCCESS; }

CUresult cuStreamCreate(CUstream *s, unsigned flags)
{
    WORKING_CONTEXT;
    *s = calloc(1, sizeof **s); /* never freed: a later use of it is refused, not undefined */
    (*s)->nonblocking = flags & CU_STREAM_NON_BLOCKING;
    streams++;
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream s)
{
    IN_CONTEXT;
    REFUSE_IF(!s || s->destroyed, CUDA_ERROR_INVALID_HANDLE);
    s->destroyed = 1;
    streams--;
    return lost;
}

CUresult cuStreamSynchronize(CUstream s) { USABLE_STREAM; finish(s, EVER); return CUDA_SUCCESS; }

CUresult cuStreamQuery(CUstream s)
{
    static int default_asked;
    USABLE_STREAM;
    return query(s, EVER, s ? &s->asked : &default_asked);
}

CUresult cuStreamWaitEvent(CUstream s, CUevent e, unsigned flags)
{
    USABLE_STREAM;
    (void)flags;
    REFUSE_IF(e->destroyed, CUDA_ERROR_INVALID_HANDLE);
    struct work *w = put(s);
    w->awaited = e->stream;
    w->awaited_until = e->when;
    return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent *e, unsigned flags)
{
    WORKING_CONTEXT;
    *e = calloc(1, sizeof **e);
    (*e)->flags = flags;
    events++;
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent e)
{
    IN_CONTEXT;
    REFUSE_IF(e->destroyed, CUDA_ERROR_INVALID_HANDLE);
    e->destroyed = 1;
    events--;
    return lost;
}

CUresult cuEventRecord(CUevent e, CUstream s)
{
    USABLE_STREAM;
    REFUSE_IF(e->destroyed, CUDA_ERROR_INVALID_HANDLE);
    e->stream = s;
    e->when = ++now;
    e->asked = 0;
    clock_gettime(CLOCK_MONOTONIC, &e->time);
    return CUDA_SUCCESS;
}

CUresult cuEventQuery(CUevent e) { USABLE_EVENT; return query(e->stream, e->when, &e->asked); }
CUresult cuEventSynchronize(CUevent e) { USABLE_EVENT; finish(e->stream, e->when); return CUDA_SUCCESS; }

CUresult cuEventElapsedTime_v2(float *ms, CUevent a, CUevent b)
{
    WORKING_CONTEXT;
    REFUSE_IF(!a->when || !b->when || (a->flags | b->flags) & CU_EVENT_DISABLE_TIMING, CUDA_ERROR_INVALID_HANDLE);
    REFUSE_IF(is_under_way(a->stream, a->when) || is_under_way(b->stream, b->when), CUDA_ERROR_NOT_READY);
    *ms = (b->time.tv_sec - a->time.tv_sec) * 1e3f + (b->time.tv_nsec - a->time.tv_nsec) * 1e-6f;
    return CUDA_SUCCESS;
}

/* ---------------------------------------------------------------- memory */

enum place { ON_DEVICE, PINNED };
static struct block { struct block *next; char *at; size_t bytes; enum place place; } *blocks;

static struct block *holding(const void *at, size_t bytes, enum place place)
{
    for (struct block *b = blocks; b; b = b->next)
        if (b->place == place && (char *)at >= b->at && (char *)at + bytes <= b->at + b->bytes) return b;
    return NULL;
}

static size_t on_device(void)
{
    size_t sum = 0;
    for (struct block *b = blocks; b; b = b->next) sum += b->place == ON_DEVICE ? b->bytes : 0;
    return sum;
}

static CUresult take(void **at, size_t bytes, enum place place)
{
    REFUSE_IF(!bytes, CUDA_ERROR_INVALID_VALUE);
    REFUSE_IF(place == ON_DEVICE && bytes > gpu.memory - on_device(), CUDA_ERROR_OUT_OF_MEMORY);
    REFUSE_IF(posix_memalign(at, 4096, bytes), CUDA_ERROR_OUT_OF_MEMORY);
    memset(*at, place == ON_DEVICE ? FRESH_DEVICE : FRESH_PINNED, bytes);
    struct block *b = malloc(sizeof *b);
    *b = (struct block){blocks, *at, bytes, place};
    blocks = b;
    return CUDA_SUCCESS;
}

/* The last freed blocks are kept, so that who still reads them finds FREED and not a segmentation fault. */
static void bury(void *at)
{
    static void *graves[GRAVES];
    static int next;
    free(graves[next]);
    graves[next] = at;
    next = (next + 1) % GRAVES;
}

static void forget_copies_of(const struct block *b)
{
    struct work **at = &under_way, *w;
    while ((w = *at)) {
        if (!w->copy || w->host < b->at || w->host >= b->at + b->bytes) { at = &w->next; continue; }
        *at = w->next;
        free(w->copy);
        free(w);
    }
}

static CUresult give_back(void *at, enum place place)
{
    for (struct block **link = &blocks, *b; (b = *link); link = &b->next) {
        if (b->at != at || b->place != place) continue;
        forget_copies_of(b);
        *link = b->next;
        memset(b->at, FREED, b->bytes);
        bury(b->at);
        free(b);
        return lost;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemAlloc_v2(CUdeviceptr *p, size_t n) { WORKING_CONTEXT; return take((void **)p, n, ON_DEVICE); }
CUresult cuMemHostAlloc(void **p, size_t n, unsigned flags) { WORKING_CONTEXT; (void)flags; return take(p, n, PINNED); }
CUresult cuMemFree_v2(CUdeviceptr p) { IN_CONTEXT; return give_back((void *)p, ON_DEVICE); }
CUresult cuMemFreeHost(void *p) { IN_CONTEXT; return give_back(p, PINNED); }

CUresult cuMemGetInfo_v2(size_t *unused, size_t *total)
{
    WORKING_CONTEXT;
    *total = gpu.memory;
    *unused = gpu.memory - on_device();
    return CUDA_SUCCESS;
}

#define ALLOCATED(p, n) REFUSE_IF(!holding((void *)(p), n, ON_DEVICE), CUDA_ERROR_INVALID_VALUE)

static CUresult copy(void *to, const void *from, size_t n) { memcpy(to, from, n); return CUDA_SUCCESS; }

static void put_copy(CUstream s, const void *host, const void *bytes, size_t n, int upload)
{
    struct work *w = put(s);
    w->host = (char *)host;
    w->copy = memcpy(malloc(n ? n : 1), bytes, n);
    w->bytes = n;
    w->upload = upload;
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr d, const void *h, size_t n)
{
    WORKING_CONTEXT;
    ALLOCATED(d, n);
    finish(NULL, EVER);
    return copy((void *)d, h, n);
}

CUresult cuMemcpyDtoH_v2(void *h, CUdeviceptr d, size_t n)
{
    WORKING_CONTEXT;
    ALLOCATED(d, n);
    finish(NULL, EVER);
    return copy(h, (void *)d, n);
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr d, const void *h, size_t n, CUstream s)
{
    USABLE_STREAM;
    if (s) s->queued++;
    ALLOCATED(d, n);
    if (holding(h, n, PINNED)) put_copy(s, h, h, n, 1);
    return copy((void *)d, h, n);
}

CUresult cuMemcpyDtoHAsync_v2(void *h, CUdeviceptr d, size_t n, CUstream s)
{
    USABLE_STREAM;
    if (s) s->queued++;
    ALLOCATED(d, n);
    if (holding(h, n, PINNED)) { put_copy(s, h, (void *)d, n, 0); return CUDA_SUCCESS; }
    finish(s, EVER);
    return copy(h, (void *)d, n);
}

static CUresult move(CUdeviceptr to, CUdeviceptr from, size_t n)
{
    ALLOCATED(to, n);
    ALLOCATED(from, n);
    return copy((void *)to, (void *)from, n);
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t n) { WORKING_CONTEXT; return move(to, from, n); }

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s)
{
    USABLE_STREAM;
    return move(to, from, n);
}

static CUresult fill(CUdeviceptr d, const void *value, size_t width, size_t count)
{
    REFUSE_IF(d % width, CUDA_ERROR_INVALID_VALUE);
    ALLOCATED(d, width * count);
    for (size_t i = 0; i < count; i++) memcpy((char *)d + i * width, value, width);
    return CUDA_SUCCESS;
}

CUresult cuMemsetD8_v2(CUdeviceptr d, unsigned char v, size_t n) { WORKING_CONTEXT; return fill(d, &v, sizeof v, n); }
CUresult cuMemsetD32_v2(CUdeviceptr d, unsigned v, size_t n) { WORKING_CONTEXT; return fill(d, &v, sizeof v, n); }

CUresult cuMemsetD8Async(CUdeviceptr d, unsigned char v, size_t n, CUstream s)
{
    USABLE_STREAM;
    return fill(d, &v, sizeof v, n);
}

CUresult cuMemsetD32Async(CUdeviceptr d, unsigned v, size_t n, CUstream s)
{
    USABLE_STREAM;
    if (s) s->queued++;
    return fill(d, &v, sizeof v, n);
}

/* ---------------------------------------------------------------- for tests */

/* Forgets plans, counts and the played GPU. What is held stays held: a leak is a leak. */
__attribute__((constructor)) void fake_reset(void)
{
    LOCKED;
    const char *devices = getenv("FAKECUDA_DEVICES");
    memset(&gpu, 0, sizeof gpu);
    gpu.devices = devices ? atoi(devices) : 1;
    gpu.major = 8;
    gpu.minor = 9;
    gpu.driver = 13000;
    gpu.memory = (size_t)1 << 30;
    strcpy(gpu.name, "FakeCUDA (host memory)");
    memset(calls, 0, sizeof calls);
    initialised = races = 0;
    lost = CUDA_SUCCESS;
}

void fake_fail(const char *call, int code, int after)
{
    LOCKED;
    struct call *c = call_of(call);
    c->planned = 1;
    c->code = code;
    c->after = after;
}

void fake_devices(int n) { LOCKED; gpu.devices = n < DEVICES ? n : DEVICES; }
void fake_memory(size_t bytes) { LOCKED; gpu.memory = bytes; }
void fake_name(const char *name) { LOCKED; strncpy(gpu.name, name, sizeof gpu.name - 1); }
void fake_driver_version(int version) { LOCKED; gpu.driver = version; }
void fake_compute_capability(int major, int minor) { LOCKED; gpu.major = major; gpu.minor = minor; }

int fake_calls(const char *call) { LOCKED; return call_of(call)->count; }
int fake_races(void) { LOCKED; return races; }
int fake_pushed(void) { return depth; }
int fake_queued(CUstream s) { LOCKED; return s && s->nonblocking ? s->queued : 0; }
int fake_streams(void) { LOCKED; return streams; }
int fake_events(void) { LOCKED; return events; }

int fake_retained(void)
{
    LOCKED;
    int sum = 0;
    for (int i = 0; i < DEVICES; i++) sum += retained[i];
    return sum;
}

int fake_allocated(void)
{
    LOCKED;
    int sum = 0;
    for (struct block *b = blocks; b; b = b->next) sum++;
    return sum;
}
