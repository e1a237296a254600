// A simulated cluster: nodes with histories of write-ahead log, replication between them, networks that are cut,
// servers that die, freeze and restart. It knows nothing of pgweir except that it sits at one more place of the
// network.
#pragma once
#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "routing/topology.h"

namespace pgweir::sim {

using routing::Lsn;
using namespace std::chrono_literals;

inline constexpr base::Duration kStep = 50ms;
inline constexpr base::Time kBeginning = base::Time{} + 1h;

/// A timeline as it really is: two servers may give the same number to different ones.
struct Line {
  std::uint32_t number = 1;
  int parent = -1;
  Lsn began = 0;
};

struct Server {
  bool runs = true;
  bool frozen = false;  ///< SIGSTOP: nothing moves, nothing answers
  bool dark = false;    ///< no power: packets to it vanish
  base::Time serves_from{};
  int line = 0;
  Lsn received = 1000;  ///< on a primary: written
  Lsn replayed = 1000;
  Lsn replay_step = 1000;
  bool recovery = true;
  int upstream = -1;
  bool streaming = false;
  base::Time heard{};
  base::Time tries_since{};  ///< to connect to an upstream that is there
  bool demoted = false;
};

enum class SyncKind { off, any, first };

class World {
 public:
  World(std::size_t count, SyncKind sync, unsigned sync_count, bool star);

  void step(base::Time now, std::mt19937& dice);
  /// Somebody writes on this primary, if it takes writes.
  bool write(std::size_t node, base::Time now);
  void acknowledge(std::size_t node);

  [[nodiscard]] bool serves(std::size_t node, base::Time now) const;
  /// Packets pass between two places; `size()` is pgweir's.
  [[nodiscard]] bool connected(std::size_t a, std::size_t b) const { return links[a * (count_ + 1) + b]; }
  void connect(std::size_t a, std::size_t b, bool on);
  [[nodiscard]] bool talks(std::size_t a, std::size_t b) const;
  [[nodiscard]] std::uint32_t timeline_of(std::size_t node) const;
  [[nodiscard]] int line_at(std::size_t node) const;
  /// The node's history has this position of this line.
  [[nodiscard]] bool contains(std::size_t node, int line, Lsn position) const;
  [[nodiscard]] bool descends(int line, int ancestor) const;
  [[nodiscard]] std::string sync_names() const;
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::size_t pgweir() const { return count_; }

  bool promote(std::size_t node, base::Time now);
  void follow(std::size_t node, int upstream);
  bool rejoin(std::size_t node, std::size_t primary, base::Time now);

  std::vector<Server> servers;
  std::vector<Line> lines{Line{}};
  std::vector<Lsn> acknowledged{0};  ///< per line
  std::vector<char> links;

 private:
  [[nodiscard]] Lsn limit_on(std::size_t node, int line) const;
  [[nodiscard]] bool find_common(std::size_t node, std::size_t with, Lsn& common) const;
  void receive(std::size_t node, base::Time now, std::mt19937& dice);

  std::size_t count_;
  SyncKind sync_;
  unsigned sync_count_;
  bool star_;
};

[[nodiscard]] inline std::string name_of_server(std::size_t node) { return "pg" + std::to_string(node + 1); }

}  // namespace pgweir::sim
