// How the simulated servers behave; see world.h.
#include "world.h"

#include <algorithm>

namespace pgweir::sim {

World::World(std::size_t count, SyncKind sync, unsigned sync_count, bool star)
    : servers(count),
      links((count + 1) * (count + 1), 1),
      count_(count),
      sync_(sync),
      sync_count_(sync_count),
      star_(star) {
  servers[0].recovery = false;
  for (std::size_t i = 1; i < count; ++i) servers[i].upstream = 0;
}

bool World::serves(std::size_t node, base::Time now) const {
  const Server& server = servers[node];
  return server.runs && !server.frozen && !server.dark && now >= server.serves_from;
}

void World::connect(std::size_t a, std::size_t b, bool on) {
  links[a * (count_ + 1) + b] = links[b * (count_ + 1) + a] = on ? 1 : 0;
}

bool World::talks(std::size_t a, std::size_t b) const {
  const auto is_there = [&](std::size_t n) { return n == count_ || (!servers[n].dark && !servers[n].frozen); };
  return connected(a, b) && is_there(a) && is_there(b);
}

int World::line_at(std::size_t node) const {
  int line = servers[node].line;
  while (lines[static_cast<std::size_t>(line)].parent >= 0 &&
         servers[node].received < lines[static_cast<std::size_t>(line)].began)
    line = lines[static_cast<std::size_t>(line)].parent;
  return line;
}

std::uint32_t World::timeline_of(std::size_t node) const {
  return lines[static_cast<std::size_t>(line_at(node))].number;
}

/// Up to where the node has this line; 0: not at all.
Lsn World::limit_on(std::size_t node, int line) const {
  Lsn limit = servers[node].received;
  for (int at = servers[node].line; at >= 0; at = lines[static_cast<std::size_t>(at)].parent) {
    if (at == line) return limit;
    limit = std::min(limit, lines[static_cast<std::size_t>(at)].began);
  }
  return 0;
}

bool World::contains(std::size_t node, int line, Lsn position) const { return limit_on(node, line) >= position; }

bool World::descends(int line, int ancestor) const {
  for (int at = line; at >= 0; at = lines[static_cast<std::size_t>(at)].parent)
    if (at == ancestor) return true;
  return false;
}

/// The last position that both have. False: `node` cannot stream from `with`, because it has replayed something else,
/// or because `with` is behind.
bool World::find_common(std::size_t node, std::size_t with, Lsn& common) const {
  Lsn own = servers[node].received;
  for (int at = servers[node].line; at >= 0; at = lines[static_cast<std::size_t>(at)].parent) {
    if (descends(servers[with].line, at)) {
      const Lsn theirs = limit_on(with, at);
      if (theirs < own && at == line_at(with)) return false;
      common = std::min(own, theirs);
      return servers[node].replayed <= common;
    }
    own = std::min(own, lines[static_cast<std::size_t>(at)].began);
  }
  return false;
}

void World::receive(std::size_t node, base::Time now, std::mt19937& dice) {
  Server& server = servers[node];
  if (server.upstream < 0) {
    server.streaming = false;
    return;
  }
  const auto from = static_cast<std::size_t>(server.upstream);
  const Server& sender = servers[from];
  const bool is_reachable = talks(node, from);
  if (server.streaming && is_reachable && !serves(from, now)) server.streaming = false;  // the connection is reset
  if (server.streaming && !is_reachable && now - server.heard > 8s) server.streaming = false;
  if (!is_reachable || !serves(from, now) || server.streaming) server.tries_since = now;
  if (!is_reachable || !serves(from, now)) return;
  Lsn common = 0;
  if (!find_common(node, from, common)) {
    server.streaming = false;
    return;
  }
  if (!server.streaming) {
    // Within less than the patience that pgweir has.
    if (now - server.tries_since < 250ms && dice() % 3 != 0) return;
    server.streaming = true;
    server.heard = now;
  }
  server.line = sender.line;
  server.received = common;
  constexpr Lsn kMost = 400;
  const Lsn next = std::min(sender.received, server.received + kMost);
  if (next > server.received || now - server.heard > 3s) server.heard = now;
  server.received = next;
}

void World::step(base::Time now, std::mt19937& dice) {
  for (std::size_t i = 0; i < count_; ++i) {
    Server& server = servers[i];
    if (!serves(i, now)) continue;
    if (server.recovery) {
      receive(i, now, dice);
      server.replayed = std::min(server.received, server.replayed + server.replay_step);
    } else {
      server.replayed = server.received;
    }
  }
  for (std::size_t i = 0; i < count_; ++i)
    if (serves(i, now) && !servers[i].recovery) acknowledge(i);
}

bool World::write(std::size_t node, base::Time now) {
  Server& server = servers[node];
  if (!serves(node, now) || server.recovery || server.demoted) return false;
  server.received += 10;
  return true;
}

/// What the waiting clients of this primary are told: everything up to the position that the rule allows.
void World::acknowledge(std::size_t node) {
  const Server& server = servers[node];
  Lsn allowed = server.received;
  if (sync_ != SyncKind::off) {
    std::vector<Lsn> have;  // in the order of the list
    for (std::size_t i = 0; i < count_; ++i) {
      const Server& standby = servers[i];
      if (i == node || !standby.recovery || !standby.streaming || standby.upstream != static_cast<int>(node) ||
          !standby.runs || !talks(i, node) || line_at(i) != server.line)
        continue;
      have.push_back(standby.received);
    }
    if (have.size() < sync_count_) return;
    if (sync_ == SyncKind::any) std::sort(have.rbegin(), have.rend());
    allowed = std::min(allowed, *std::min_element(have.begin(), have.begin() + sync_count_));
  }
  Lsn& told = acknowledged[static_cast<std::size_t>(server.line)];
  told = std::max(told, allowed);
}

std::string World::sync_names() const {
  if (sync_ == SyncKind::off) return {};
  std::string list = star_ ? "*" : "";
  for (std::size_t i = 0; i < count_ && !star_; ++i) list += (i == 0 ? "" : ", ") + name_of_server(i);
  return (sync_ == SyncKind::any ? "ANY " : "FIRST ") + std::to_string(sync_count_) + " (" + list + ")";
}

bool World::promote(std::size_t node, base::Time now) {
  Server& server = servers[node];
  if (!serves(node, now) || !server.recovery) return false;
  const int parent = line_at(node);
  lines.push_back({lines[static_cast<std::size_t>(parent)].number + 1, parent, server.received});
  acknowledged.push_back(0);
  server.line = static_cast<int>(lines.size()) - 1;
  server.recovery = server.streaming = false;
  server.upstream = -1;
  server.replayed = server.received;
  return true;
}

void World::follow(std::size_t node, int upstream) {
  servers[node].upstream = upstream;
  servers[node].streaming = false;
}

/// pg_rewind, or a new base backup: everything that the primary does not have is gone.
bool World::rejoin(std::size_t node, std::size_t primary, base::Time now) {
  if (!serves(primary, now) || servers[primary].recovery || !talks(node, primary)) return false;
  Server& server = servers[node];
  const Server fresh;
  const Lsn replay_step = server.replay_step;
  server = fresh;
  server.replay_step = replay_step;
  server.line = servers[primary].line;
  server.received = server.replayed = servers[primary].received;
  server.upstream = static_cast<int>(primary);
  server.serves_from = now + 500ms;
  return true;
}

}  // namespace pgweir::sim
