// PostgreSQL's lexical rules, case by case.
#include "sql/tokenizer.h"

#include <string>
#include <vector>

#include "doctest/doctest.h"

using pgweir::sql::Token;
using pgweir::sql::Tokenizer;
using pgweir::sql::TokenKind;

namespace {

std::string letter(TokenKind kind) {
  switch (kind) {
    case TokenKind::identifier: return "i";
    case TokenKind::quoted_identifier: return "q";
    case TokenKind::unicode_identifier: return "uq";
    case TokenKind::number: return "n";
    case TokenKind::string: return "s";
    case TokenKind::unicode_string: return "us";
    case TokenKind::bit_string: return "b";
    case TokenKind::national_string: return "ns";
    case TokenKind::parameter: return "p";
    case TokenKind::operator_: return "o";
    case TokenKind::punctuation: return "c";
    case TokenKind::invalid: return "!";
    case TokenKind::end: return "";
  }
  return "?";
}

/// "i:select n:1"
std::string cut(std::string_view text) {
  std::string result;
  Tokenizer tokens(text);
  for (Token token = tokens.next(); token.kind != TokenKind::end; token = tokens.next()) {
    CHECK(text.substr(token.offset, token.text.size()) == token.text);
    if (!result.empty()) result += ' ';
    result += letter(token.kind) + ":" + std::string(token.text);
  }
  return result;
}

struct Case {
  std::string_view text;
  std::string_view tokens;
};

}  // namespace

TEST_CASE("texts are cut as PostgreSQL cuts them") {
  const std::vector<Case> cases = {
      {"", ""},
      {"select 1", "i:select n:1"},
      {"a$b$ _x é1", "i:a$b$ i:_x i:é1"},
      {"\"a\"\"b\"", "q:\"a\"\"b\""},
      {"U&\"d\\0061\" u&'x' u & 'x'", "uq:U&\"d\\0061\" us:u&'x' i:u o:& s:'x'"},
      {"'it''s'", "s:'it''s'"},
      {"'back\\' 1", "s:'back\\' n:1"},
      {"E'back\\' more' 1", "s:E'back\\' more' n:1"},
      {"b'01' X'ff' n'x'", "b:b'01' b:X'ff' ns:n'x'"},
      {"'a'\n 'b' 'c'", "s:'a'\n 'b' s:'c'"},
      {"'a' -- c\n'b'", "s:'a' -- c\n'b'"},
      {"'a' /* \n */ 'b'", "s:'a' s:'b'"},
      {"E'a\\''\n'b\\''", "s:E'a\\''\n'b\\''"},
      {"$$a'b$$ $t$ $$ $t$", "s:$$a'b$$ s:$t$ $$ $t$"},
      {"$1 $23+1", "p:$1 p:$23 o:+ n:1"},
      {"$1a $ $t", "!:$1 i:a !:$ !:$ i:t"},
      {"1.5 .5 1. 1e10 1.5e-3 1e", "n:1.5 n:.5 n:1. n:1e10 n:1.5e-3 !:1e"},
      {"1..10", "n:1 c:.. n:10"},
      {"12abc 0x1F 1_000", "!:12abc !:0x1F !:1_000"},
      {"a::int := x", "i:a c::: i:int c::= i:x"},
      {"a<=b a<>b a->>b", "i:a o:<= i:b i:a o:<> i:b i:a o:->> i:b"},
      {"a-1 a<-1 a@-1 a+-1", "i:a o:- n:1 i:a o:< o:- n:1 i:a o:@- n:1 i:a o:+ o:- n:1"},
      {"a*/*c*/b", "i:a o:* i:b"},
      {"1--2\n+3", "n:1 o:+ n:3"},
      {"1-/* /* */ -- */2", "n:1 o:- n:2"},
      {"(a,b)[1];c.d", "c:( i:a c:, i:b c:) c:[ n:1 c:] c:; i:c c:. i:d"},
      {"'open", "!:'open"},
      {"E'open\\'", "!:E'open\\'"},
      {"\"open", "!:\"open"},
      {"$$open", "!:$$open"},
      {"/* open /* */", "!:/* open /* */"},
      {"a \\ b", "i:a !:\\ i:b"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.text);
    CHECK(cut(one.text) == one.tokens);
  }
}

TEST_CASE("words and quoted names of any length, wherever the text ends") {
  const std::string letters = "aZ_9$\xc3\xa9";
  for (std::size_t length = 1; length < 150; ++length) {
    for (std::size_t after = 0; after < 20; ++after) {
      std::string name;
      for (std::size_t i = 0; i < length; ++i) name += i == 0 ? 'Q' : letters[i * 5 % letters.size()];
      const std::string text = name + std::string(after, ' ') + (after > 0 ? ";" : "");
      const std::vector<char> exactly(text.begin(), text.end());  // so that a sanitizer sees what is read past its end
      Tokenizer tokens(std::string_view(exactly.data(), exactly.size()));
      std::vector<char> folded(Tokenizer::kFoldedRoom);
      const Token word = tokens.next_folded(folded.data());
      CHECK(word.kind == TokenKind::identifier);
      CHECK(word.text == name);
      if (length <= Tokenizer::kMostFolded) {
        for (char& c : name) c = pgweir::sql::fold(c);
        CHECK(std::string_view(folded.data(), length) == name);
      }
      const std::string quoted = "\"" + std::string(length - 1, 'x') + "\"";
      CHECK(cut(quoted + std::string(after, '.')).starts_with("q:" + quoted));
      CHECK(cut(quoted + quoted + std::string(after, ' ')) == "q:" + quoted + quoted);
    }
  }
}

TEST_CASE("every byte ends a word or does not, as in scan.l") {
  for (int value = 0; value < 256; ++value) {
    const char c = static_cast<char>(value);
    const bool part = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                      c == '$' || value >= 0x80;
    for (std::size_t position = 1; position < 20; ++position) {
      for (const std::size_t rest : {std::size_t{0}, std::size_t{6}, std::size_t{40}}) {
        std::string text(position, 'm');
        text += c;
        text.append(rest, 'n');
        CAPTURE(value);
        CHECK(Tokenizer(text).next().text.size() == (part ? text.size() : position));
      }
    }
  }
}

TEST_CASE("a zero byte is never part of a token that counts") {
  CHECK(cut(std::string_view("a\0b", 3)).find("!:") != std::string::npos);
  CHECK(cut(std::string_view("'a\0b'", 5)).starts_with("!:"));
  CHECK(cut(std::string_view("$$a\0b$$", 7)).starts_with("!:"));
}
