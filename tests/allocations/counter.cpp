// Preloaded into pgweir by the tests: counts what each thread asks of the heap, in a file that the test maps too.
// On request it also keeps the call stacks. It must never allocate from the heap itself, nor change what is counted.
// glibc only: it stands before the real functions by glibc's own second names for them.
#include <execinfo.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" {
void* __libc_malloc(std::size_t size) noexcept;
void* __libc_calloc(std::size_t count, std::size_t size) noexcept;
void* __libc_realloc(void* old, std::size_t size) noexcept;
void* __libc_memalign(std::size_t alignment, std::size_t size) noexcept;
}

namespace {

constexpr std::size_t kThreads = 64;
constexpr std::size_t kStacks = 4096;
constexpr int kDepth = 24;

// The layout of the file; tests/harness/allocations.py reads it. All numbers have 64 bits.
struct ThreadCount {
  std::atomic<std::uint64_t> thread_id{};  // as in /proc/PID/task
  std::atomic<std::uint64_t> allocations{};
  std::atomic<std::uint64_t> bytes{};
};
struct Stack {
  std::atomic<std::uint64_t> hash{};  // 0: unused
  std::atomic<std::uint64_t> thread_id{};
  std::atomic<std::uint64_t> times{};
  std::uint64_t addresses[kDepth]{};
};
struct Counts {
  std::atomic<std::uint64_t> threads{};  // how many have a place; those beyond kThreads are not counted
  std::atomic<std::uint64_t> tracing{};  // the test writes it: 1 to keep stacks
  std::atomic<std::uint64_t> lost{};     // stacks without a place
  ThreadCount by_thread[kThreads];
  Stack stacks[kStacks];
};

Counts* g_counts = nullptr;
// Initial-exec: the general model allocates a thread's variables from the heap at their first use.
__attribute__((tls_model("initial-exec"))) thread_local ThreadCount* t_count = nullptr;
__attribute__((tls_model("initial-exec"))) thread_local bool t_inside = false;

__attribute__((constructor)) void map_counts() {
  const char* path = std::getenv("PGWEIR_ALLOCATION_COUNTS");
  if (path == nullptr) return;
  void* first[1];
  backtrace(first, 1);  // loads the unwinder, which allocates
  const int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, sizeof(Counts)) != 0) abort();
  void* memory = mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) abort();
  close(file);
  g_counts = static_cast<Counts*>(memory);
}

void keep_stack(std::uint64_t thread_id) {
  void* addresses[kDepth + 3] = {};
  const int found = backtrace(addresses, kDepth + 3);
  std::uint64_t hash = thread_id;
  for (int i = 0; i < found; ++i) hash = (hash ^ reinterpret_cast<std::uintptr_t>(addresses[i])) * 0x9e3779b97f4a7c15U;
  hash |= 1;
  for (std::size_t probe = 0; probe < kStacks; ++probe) {
    Stack& stack = g_counts->stacks[(hash / 2 + probe) % kStacks];
    std::uint64_t unused = 0;
    if (stack.hash.compare_exchange_strong(unused, hash)) {
      stack.thread_id = thread_id;
      // The first three are this function, the one that calls it, and malloc.
      for (int i = 3; i < found; ++i) stack.addresses[i - 3] = reinterpret_cast<std::uintptr_t>(addresses[i]);
      unused = hash;
    }
    if (unused != hash) continue;
    stack.times.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  g_counts->lost.fetch_add(1, std::memory_order_relaxed);
}

__attribute__((noinline)) void count(std::size_t bytes) {
  if (g_counts == nullptr || t_inside) return;
  const int saved = errno;
  t_inside = true;
  if (t_count == nullptr) {
    const std::uint64_t place = g_counts->threads.fetch_add(1);
    if (place >= kThreads) {  // not inside any more never comes true: this thread stays uncounted
      errno = saved;
      return;
    }
    t_count = &g_counts->by_thread[place];
    t_count->thread_id = static_cast<std::uint64_t>(gettid());
  }
  t_count->allocations.fetch_add(1, std::memory_order_relaxed);
  t_count->bytes.fetch_add(bytes, std::memory_order_relaxed);
  if (g_counts->tracing.load(std::memory_order_relaxed) != 0) keep_stack(t_count->thread_id);
  t_inside = false;
  errno = saved;
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) noexcept {
  count(size);
  return __libc_malloc(size);
}

void* calloc(std::size_t number, std::size_t size) noexcept {
  count(number * size);
  return __libc_calloc(number, size);
}

void* realloc(void* old, std::size_t size) noexcept {
  count(size);
  return __libc_realloc(old, size);
}

void* memalign(std::size_t alignment, std::size_t size) noexcept {
  count(size);
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  count(size);
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
  count(size);
  void* memory = __libc_memalign(alignment, size);
  if (memory == nullptr) return ENOMEM;
  *result = memory;
  return 0;
}

}  // extern "C"
