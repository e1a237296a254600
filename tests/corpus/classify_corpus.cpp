// Decides, without a server, where the statements of the corpus would run: the router by itself, given a catalog that
// test_corpus.py read from a real server. For that test and for looking at single cases by hand.
//
//   classify_corpus queries              the queries that read the catalog, as netstrings
//   classify_corpus decide < input       input: for each query its rows, then the statements; output: one line each
//
// Input and output are netstrings ("5:hello,"), so that no text needs escaping; NULL is "-".
#include <cstdio>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <thread>

#include <pthread.h>

#include "routing/catalog_queries.h"
#include "routing/route.h"

namespace {

using namespace pgweir;

void put(std::string_view text) { std::cout << text.size() << ':' << text << ','; }

/// Reads netstrings; ends the program at a malformed one.
class Input {
 public:
  Input() : text_(std::istreambuf_iterator<char>(std::cin), {}) {}
  [[nodiscard]] bool done() const { return position_ >= text_.size(); }
  std::optional<std::string> next() {
    if (text_.at(position_) == '-') {
      ++position_;
      return std::nullopt;
    }
    const std::size_t colon = text_.find(':', position_);
    const std::size_t length = std::stoul(text_.substr(position_, colon - position_));
    std::string field = text_.substr(colon + 1, length);
    position_ = colon + 1 + length;
    if (text_.at(position_++) != ',') throw std::runtime_error("malformed input");
    return field;
  }
  std::size_t number() { return std::stoul(next().value()); }

 private:
  std::string text_;
  std::size_t position_ = 0;
};

class NothingPrepared : public routing::PreparedLookup {
 public:
  [[nodiscard]] sql::CachedFactsPtr find(std::string_view) const override { return nullptr; }
};

void decide_all() {
  Input input;
  std::vector<routing::TextRows> results;
  for (const routing::CatalogQuery& query : routing::catalog_queries()) {
    routing::TextRows rows(input.number());
    for (routing::TextRow& row : rows) {
      for (std::size_t i = 0; i < query.columns; ++i) row.push_back(input.next());
    }
    results.push_back(std::move(rows));
  }
  const auto rows = routing::rows_from(results);
  if (!rows) throw std::runtime_error(rows.error().message);
  const routing::CatalogPtr catalog = routing::Catalog::build(1, {}, *rows);
  sql::Classifier classifier{sql::ClassifierLimits{}};
  while (!input.done()) {
    const std::string text = input.next().value();
    const sql::Classified query = classifier.classify(0, text);
    const routing::Route route = routing::decide(query, {}, NothingPrepared(), catalog.get());
    const routing::SessionEffects effects = routing::effects_of(*query.entry, catalog.get());
    put(routing::name_of(route.node_class));
    put(routing::name_of(route.reason));
    put(effects.unknown ? "unknown" : "");
    put(routing::explain(route, query.entry->facts).facts);
  }
}

void* run(void* failed) {
  try {
    decide_all();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "classify_corpus: %s\n", error.what());
    *static_cast<bool*>(failed) = true;
  }
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view command = argc == 2 ? argv[1] : "";
  if (command == "queries") {
    put(routing::kCatalogBegin);
    for (const routing::CatalogQuery& query : routing::catalog_queries()) put(query.sql);
    put(routing::kCatalogEnd);
    put(routing::catalog_fingerprint_query());
    return 0;
  }
  if (command != "decide") {
    std::fprintf(stderr, "usage: classify_corpus queries | decide\n");
    return 2;
  }
  bool failed = false;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, sql::Classifier::kParserStackBytes);
  pthread_t thread;
  if (pthread_create(&thread, &attributes, run, &failed) != 0) return 1;
  pthread_join(thread, nullptr);
  return failed ? 1 : 0;
}
