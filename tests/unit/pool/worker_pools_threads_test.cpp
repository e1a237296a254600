// Four workers with threads and loops of their own share one pool, as in the real process: sessions come, wait, give
// up, give back and break connections at random. No permission may be lost, no limit exceeded, nobody forgotten.
#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "doctest/doctest.h"
#include "net/mailbox.h"
#include "pool/worker_pools.h"
#include "unit/pool/small_server.h"

namespace {

using namespace pgweir;
using namespace pgweir::pool;
using namespace std::chrono_literals;

constexpr std::uint32_t kSeed = 20251;
constexpr std::size_t kWorkers = 4;
constexpr int kRounds = 40;  // per session

struct Game {
  PoolLimits limits;
  int sessions = 20;    ///< per worker
  int pause_ms = 0;     ///< the longest between two rounds of a session
  bool ordered = true;  ///< false: who finds an idle connection is served before all who have to open one
};

class Threads;

// What must hold at every moment, and what is to be looked at in the end.
struct Books {
  std::atomic<std::uint32_t> leased{0}, most_leased{0};
  std::atomic<int> served{0}, given_up{0}, failed{0};
  std::atomic<std::uint64_t> clock{0};
  struct Turn {
    std::uint64_t asked, queued, served;  ///< by `clock`: before and after it entered the queue, and when it was served
  };
  std::mutex mutex;
  std::vector<Turn> turns;
};

// One worker: its loop, its pools, and sessions that do what comes to their mind.
struct OneWorker {
  OneWorker(Threads& t, std::uint16_t n, PoolDirectory& directory);

  Threads& threads;
  const base::WorkerId id;
  std::minstd_rand random;
  net::Loop loop;
  std::unique_ptr<net::Mailbox> mailbox;
  std::unique_ptr<WorkerPools> pools;
  struct Session;
  std::vector<std::unique_ptr<Session>> sessions;
  int busy = 0;
  std::promise<void> done;
  std::thread thread;

  int roll(int sides) { return static_cast<int>(random() % static_cast<unsigned>(sides)); }
  void begin();
  void one_is_done() {
    if (--busy == 0) done.set_value();
  }
};

class Threads final : public PoolEnvironment {
 public:
  explicit Threads(const Game& g) : game(g) {
    for (std::uint16_t i = 0; i < kWorkers; ++i) all.push_back(std::make_unique<OneWorker>(*this, i, directory));
    server_thread = std::thread([this] { server_loop.run(); });
    for (auto& one : all) one->thread = std::thread([&worker = *one] { worker.loop.run(); });
  }
  ~Threads() {
    for (auto& one : all) one->thread.join();
    server_mailbox.post([this] { server_loop.stop(); });
    server_thread.join();
    for (auto& one : all) {
      one->pools.reset();
      one->mailbox.reset();
      one->loop.drain();
    }
  }

  PoolLimits limits(const PoolKey&) const override { return game.limits; }
  net::Endpoint endpoint(base::NodeId) const override { return server.endpoint; }
  [[nodiscard]] ServerTls tls(base::NodeId) const override { return {}; }
  std::string node_name(base::NodeId) const override { return "pg1"; }
  ServerCredentials credentials(const PoolKey&) const override { return {}; }
  void credentials_refused(const PoolKey&) override {}
  std::size_t workers() const override { return kWorkers; }
  bool is_usable(base::NodeId) const override { return true; }
  void post(base::WorkerId worker, std::function<void(WorkerPools&)> task) override {
    OneWorker& there = *all[worker.value];
    there.mailbox->post([&there, task = std::move(task)] { task(*there.pools); });
  }
  void suspect(base::NodeId) override {}

  void run() {
    for (auto& one : all) one->mailbox->post([&worker = *one] { worker.begin(); });
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    for (auto& one : all) CHECK(one->done.get_future().wait_until(deadline) == std::future_status::ready);
  }
  void stop() {
    for (auto& one : all)
      one->mailbox->post([&worker = *one] {
        worker.sessions.clear();
        worker.pools->shut_down();
        worker.loop.after_pass([&worker] { worker.loop.stop(); });
      });
  }

  const Game game;
  Books books;
  const PoolKey key{base::NodeId{0}, "db", "alice"};
  PoolDirectory directory;
  PoolState& state = directory.find(key);
  std::vector<std::unique_ptr<OneWorker>> all;

 private:
  net::Loop server_loop;
  test::SmallServer server{server_loop};
  net::Mailbox server_mailbox{server_loop};
  std::thread server_thread;
};

struct OneWorker::Session final : ServerUser {
  explicit Session(OneWorker& w) : worker(w), timer(w.loop, [this] { on_time(); }) {}

  std::size_t on_server_data(ServerConnection&, std::string_view bytes) override { return bytes.size(); }
  void on_server_end(ServerConnection&, std::string_view) override { lease.close(); }
  void on_server_drained(ServerConnection&) override {}

  void ask() {
    auto& here = *worker.pools;
    auto& books = worker.threads.books;
    static const StartupClass kClasses[] = {StartupClass(), StartupClass({{"application_name", "other"}}, "")};
    const StartupClass& startup = kClasses[worker.roll(10) == 0 ? 1 : 0];
    turn.asked = ++books.clock;
    if (Lease found = here.try_acquire(worker.threads.key, startup)) {
      turn.queued = ++books.clock;
      return take(std::move(found));
    }
    ticket = here.acquire(worker.threads.key, startup, [this](base::Result<Lease> result) {
      ticket.reset();
      timer.stop();
      if (!result) {
        ++worker.threads.books.failed;
        return next();
      }
      take(std::move(*result));
    });
    turn.queued = ++books.clock;
    if (worker.roll(10) == 0) timer.start(std::chrono::milliseconds(worker.roll(3)));  // not very patient
  }

  void take(Lease got) {
    auto& books = worker.threads.books;
    lease = std::move(got);
    lease->lease_to(*this);
    turn.served = ++books.clock;
    {
      const std::lock_guard lock(books.mutex);
      books.turns.push_back(turn);
    }
    ++books.served;
    const std::uint32_t now = ++books.leased;
    for (std::uint32_t seen = books.most_leased.load();
         seen < now && !books.most_leased.compare_exchange_weak(seen, now);) {
    }
    timer.start(std::chrono::milliseconds(worker.roll(4)));
  }

  void on_time() {
    if (std::exchange(pausing, false)) return ask();
    if (ticket) {
      worker.pools->cancel(*std::exchange(ticket, std::nullopt));
      ++worker.threads.books.given_up;
      return next();
    }
    --worker.threads.books.leased;
    if (worker.roll(8) == 0)
      lease.close();
    else
      lease.give_back();
    next();
  }

  void next() {
    if (--rounds <= 0) return worker.one_is_done();
    const int pause = worker.threads.game.pause_ms;
    if (pause == 0) return worker.loop.after_pass([this] { ask(); });
    pausing = true;
    timer.start(std::chrono::milliseconds(worker.roll(pause + 1)));
  }

  OneWorker& worker;
  Lease lease;
  std::optional<WorkerPools::Ticket> ticket;
  Books::Turn turn{};
  int rounds = kRounds;
  bool pausing = false;
  net::Timer timer;
};

OneWorker::OneWorker(Threads& t, std::uint16_t n, PoolDirectory& directory)
    : threads(t),
      id{n},
      random(kSeed + n),
      mailbox(std::make_unique<net::Mailbox>(loop)),
      pools(std::make_unique<WorkerPools>(loop, id, directory, static_cast<PoolEnvironment&>(t))) {}

void OneWorker::begin() {
  busy = threads.game.sessions;
  for (int i = 0; i < busy; ++i) {
    sessions.push_back(std::make_unique<Session>(*this));
    loop.after_pass([&session = *sessions.back()] { session.ask(); });
  }
}

/// The most others that came later than one and were served earlier.
std::size_t most_overtakers(std::vector<Books::Turn> turns) {
  std::sort(turns.begin(), turns.end(), [](const auto& a, const auto& b) { return a.served < b.served; });
  std::size_t most = 0;
  for (std::size_t i = 0; i < turns.size(); ++i) {
    const auto later = [&](const auto& other) { return other.asked > turns[i].queued; };
    most = std::max(most, static_cast<std::size_t>(
                              std::count_if(turns.begin(), turns.begin() + static_cast<std::ptrdiff_t>(i), later)));
  }
  return most;
}

void play(const Game& game) {
  MESSAGE("seed " << kSeed);
  Threads threads(game);
  threads.run();
  Books& books = threads.books;
  const PoolLimits& limits = game.limits;
  // Resets and openings may still be under way.
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  const auto settled = [&] {
    return threads.state.open() == threads.state.idle() && threads.state.open() <= limits.size;
  };
  while (!settled() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(1ms);
  CHECK(settled());
  CHECK_FALSE(threads.state.anybody_waits());
  CHECK(books.leased.load() == 0);
  CHECK(books.failed.load() == 0);
  const int asked = static_cast<int>(kWorkers) * game.sessions * kRounds;
  CHECK(books.served.load() + books.given_up.load() == asked);
  CHECK(books.given_up.load() > 0);
  CHECK(books.most_leased.load() >= 1);
  CHECK(books.most_leased.load() <= limits.size + limits.reserve);
  // What was granted in order arrives a little out of it: a connection that has to be opened takes longer than one that
  // moves. In any other order the unlucky would be overtaken by hundreds.
  const std::size_t overtakers = most_overtakers(books.turns);
  MESSAGE("overtaken at most by " << overtakers << " of " << books.turns.size());
  if (game.ordered) CHECK(overtakers < kWorkers * 20);
  threads.stop();
}

}  // namespace

TEST_CASE("four workers share one pool, with a queue that is never empty") {
  play({.limits = {.size = 5, .connect_timeout = 10s, .reset_timeout = 10s}});
}

TEST_CASE("four workers share one pool that is hardly ever full") {
  play({.limits = {.size = 60, .connect_timeout = 10s, .reset_timeout = 10s}, .ordered = false});
}

TEST_CASE("four workers with little to do: what one needs lies idle at another") {
  play({.limits = {.size = 2, .connect_timeout = 10s, .reset_timeout = 10s}, .sessions = 1, .pause_ms = 6});
}

TEST_CASE("four workers, with a reserve, connections that age and some that are kept ready") {
  play({.limits = {.size = 4,
                   .connect_timeout = 10s,
                   .reset_timeout = 10s,
                   .min_idle = 2,
                   .reserve = 3,
                   .reserve_timeout = 30ms,
                   .server_lifetime = 100ms,
                   .lifetime_jitter = 0.5}});
}
