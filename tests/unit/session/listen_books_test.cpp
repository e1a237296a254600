// Who listens to what on a shared connection, from LISTEN's answer to UNLISTEN's.
#include "session/listen_books.h"

#include <algorithm>
#include <string>
#include <vector>

#include "doctest/doctest.h"

using namespace pgweir;
using session::ListenBooks;
using Channels = std::vector<std::string>;
using Ids = std::vector<base::SessionId>;

namespace {

constexpr base::SessionId kAnna{1}, kBert{2}, kCleo{3};

void listen(ListenBooks& books, base::SessionId session, const std::string& channel) {
  books.ask(session, channel);
  books.confirm(session, channel);
}

}  // namespace

TEST_CASE("a channel is heard from the answer on") {
  ListenBooks books;
  books.ask(kAnna, "news");
  CHECK(books.has(kAnna, "news"));
  CHECK(books.listeners("news").empty());
  books.confirm(kAnna, "news");
  CHECK(books.listeners("news") == Ids{kAnna});
  CHECK(books.listeners("News").empty());
  CHECK(books.listeners("other").empty());
}

TEST_CASE("LISTEN twice is heard once, and a refused repetition changes nothing") {
  ListenBooks books;
  listen(books, kAnna, "news");
  books.ask(kAnna, "news");
  CHECK(books.listeners("news") == Ids{kAnna});
  CHECK_FALSE(books.refuse(kAnna, "news"));
  CHECK(books.listeners("news") == Ids{kAnna});
}

TEST_CASE("a refused LISTEN leaves nothing") {
  ListenBooks books;
  books.ask(kAnna, "news");
  CHECK(books.refuse(kAnna, "news"));
  CHECK(books.empty());
}

TEST_CASE("the last one who leaves makes a channel unwanted, and hears it until the answer") {
  ListenBooks books;
  listen(books, kAnna, "news");
  listen(books, kBert, "news");
  CHECK(books.leave(kAnna, "news").empty());
  CHECK(books.listeners("news") == Ids{kAnna, kBert});
  books.left(kAnna);
  CHECK(books.listeners("news") == Ids{kBert});
  CHECK(books.leave(kBert, "news") == Channels{"news"});
  CHECK(books.listeners("news") == Ids{kBert});
  books.left(kBert);
  CHECK(books.empty());
}

TEST_CASE("somebody who has asked keeps a channel wanted") {
  ListenBooks books;
  listen(books, kAnna, "news");
  books.ask(kBert, "news");
  CHECK(books.leave(kAnna, "news").empty());
  books.left(kAnna);
  CHECK(books.listeners("news").empty());
  books.confirm(kBert, "news");
  CHECK(books.listeners("news") == Ids{kBert});
}

TEST_CASE("who asks anew while leaving stays") {
  ListenBooks books;
  listen(books, kAnna, "news");
  CHECK(books.leave(kAnna, "news") == Channels{"news"});
  books.ask(kAnna, "news");
  books.left(kAnna);
  books.confirm(kAnna, "news");
  CHECK(books.listeners("news") == Ids{kAnna});
}

TEST_CASE("UNLISTEN * leaves all channels of that session only") {
  ListenBooks books;
  for (const char* channel : {"a", "b", "c"}) listen(books, kAnna, channel);
  listen(books, kBert, "b");
  Channels unwanted = books.leave(kAnna, "");
  std::sort(unwanted.begin(), unwanted.end());
  CHECK(unwanted == Channels{"a", "c"});
  books.left(kAnna);
  CHECK_FALSE(books.has(kAnna));
  CHECK(books.listeners("b") == Ids{kBert});
}

TEST_CASE("a session that goes is out of the books at once, whatever is on its way") {
  ListenBooks books;
  listen(books, kAnna, "a");
  books.ask(kAnna, "b");
  listen(books, kCleo, "a");
  CHECK(books.forget(kAnna) == Channels{"b"});
  books.confirm(kAnna, "b");
  CHECK(books.listeners("b").empty());
  CHECK(books.listeners() == Ids{kCleo});
  CHECK(books.forget(kAnna).empty());
  CHECK(books.forget(kCleo, "other").empty());
  CHECK(books.forget(kCleo, "a") == Channels{"a"});
  CHECK(books.empty());
}

TEST_CASE("when the connection is lost who listens goes on, who asked asks anew, and who was leaving has not left") {
  ListenBooks books;
  listen(books, kAnna, "a");
  listen(books, kAnna, "b");
  listen(books, kBert, "a");
  books.ask(kBert, "c");
  books.ask(kCleo, "a");
  CHECK(books.leave(kAnna, "b") == Channels{"b"});
  books.lose();
  CHECK(books.channels() == Channels{"a", "b"});
  CHECK(books.listeners() == Ids{kAnna, kBert});
  CHECK(books.listeners("b") == Ids{kAnna});
  CHECK_FALSE(books.has(kCleo));
  CHECK_FALSE(books.has(kBert, "c"));
}
