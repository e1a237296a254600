// Places of clients: counted, limited, given back.
#include "session/client_places.h"

#include <thread>
#include <vector>

#include "doctest/doctest.h"

using namespace pgweir;
using session::ClientPlaces;

namespace {

config::Settings settings() {
  config::Settings out;
  out.databases = {{.name = "test", .max_clients = 2}};
  out.users = {{.name = "app", .max_clients = 3}};
  return out;
}

ClientPlaces::Place entered(ClientPlaces& places) {
  auto place = places.enter(1000);
  REQUIRE(place.has_value());
  return std::move(*place);
}

}  // namespace

TEST_CASE("no more clients than the limit, and a place that is given back is free") {
  ClientPlaces places;
  auto one = places.enter(2);
  auto two = places.enter(2);
  REQUIRE(two.has_value());
  const auto three = places.enter(2);
  REQUIRE_FALSE(three.has_value());
  CHECK(three.error().sqlstate == base::sqlstate::too_many_connections);
  CHECK(three.error().message == "sorry, too many clients already");
  CHECK(three.error().detail.find("2 clients (pool.max_clients)") != std::string::npos);
  CHECK(places.total() == 2);
  two->give_back();
  two->give_back();
  CHECK_FALSE(*two);
  CHECK(places.total() == 1);
  *one = entered(places);  // the old one is given back
  CHECK(places.total() == 1);
  ClientPlaces::Place moved = std::move(*one);
  CHECK(places.total() == 1);
}

TEST_CASE("databases and users have limits of their own") {
  ClientPlaces places;
  const auto rules = settings();
  std::vector<ClientPlaces::Place> inside;
  const auto come = [&](const std::string& database, const std::string& user) -> std::string {
    auto place = entered(places);
    const auto named = places.name(place, database, user, rules);
    if (!named) return named.error().message + " | " + named.error().detail;
    inside.push_back(std::move(place));
    return {};
  };
  CHECK(come("test", "app").empty());
  CHECK(come("test", "other").empty());
  CHECK(come("test", "third") ==
        "too many connections for database \"test\" | pgweir serves at most 2 clients of this database "
        "(databases[].max_clients).");
  CHECK(places.in_database("test") == 2);
  CHECK(places.of_user("third") == 0);
  CHECK(come("a", "app").empty());
  CHECK(come("b", "app").empty());
  CHECK(come("c", "app") ==
        "too many connections for role \"app\" | pgweir serves at most 3 clients of this user (users[].max_clients).");
  CHECK(places.in_database("c") == 0);
  CHECK(places.total() == 4);  // who is refused takes no place
  inside.erase(inside.begin());
  CHECK(places.in_database("test") == 1);
  CHECK(places.of_user("app") == 2);
  CHECK(come("test", "app").empty());
  inside.clear();
  CHECK(places.total() == 0);
  CHECK(places.in_database("test") == 0);
  CHECK(places.of_user("app") == 0);
}

TEST_CASE("who has not named its place counts for nobody but the process") {
  ClientPlaces places;
  const auto place = entered(places);
  CHECK(places.total() == 1);
  CHECK(places.of_user("app") == 0);
}

TEST_CASE("the limits hold for many threads, and every place comes back") {
  ClientPlaces places;
  const auto rules = settings();
  std::atomic<std::uint32_t> inside{0}, most{0}, refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int turn = 0; turn < 5000; ++turn) {
        auto place = places.enter(4);
        if (!place || !places.name(*place, "test", "app", rules)) {
          ++refused;
          continue;
        }
        const std::uint32_t now = ++inside;
        for (std::uint32_t seen = most.load(); seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        --inside;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(most.load() >= 1);
  CHECK(most.load() <= 2);
  CHECK(places.total() == 0);
  CHECK(places.in_database("test") == 0);
}
