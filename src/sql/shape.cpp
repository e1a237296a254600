// Writes one record per token into a small buffer that is hashed: a kind byte, and for words and operators a length and
// the characters. The records cannot be confused with each other, so that only a collision of XXH3 itself could be.
//
// Lists of constants become one record: the elements after IN ( and ARRAY [, and the rows of VALUES that look like a
// row that was already written. Everywhere else a constant stands where it stood.
#include "sql/shape.h"

#include <array>
#include <cstring>

#include "sql/tokenizer.h"
#define XXH_STATIC_LINKING_ONLY  // the state may live on the stack
#include "xxhash.h"

namespace pgweir::sql {
namespace {

/// Keys of exact texts and keys of shapes are hashes of other seeds.
constexpr std::uint64_t kExactSeed = 0x5bd1e995c2b2ae35ULL;
constexpr char kListMark = 'L';

ShapeKey to_key(XXH128_hash_t hash) noexcept { return {hash.low64, hash.high64}; }

enum class Fold : std::uint8_t { no, yes };

/// Collects bytes; hashes them in one go when they fit the buffer, which nearly all texts do.
class KeyWriter {
 public:
  explicit KeyWriter(std::uint64_t seed) noexcept : seed_(seed) {}

  void byte(char c) noexcept {
    if (used_ == buffer_.size()) flush();
    buffer_[used_++] = c;
  }
  /// A kind, a length and the characters, folded or not. The bytes written stay readable until the next call when they
  /// fit the buffer, which names and operators do; else the result is empty.
  std::string_view record(char kind, std::string_view text, Fold fold_case) noexcept {
    const auto length = static_cast<std::uint32_t>(text.size());
    if (buffer_.size() - used_ < kHeader + text.size()) {
      flush();
      if (buffer_.size() < kHeader + text.size()) {
        byte(kind);
        for (unsigned shift = 0; shift < 32; shift += 8) byte(static_cast<char>((length >> shift) & 0xff));
        for (const char c : text) byte(fold_case == Fold::yes ? fold(c) : c);
        return {};
      }
    }
    char* to = buffer_.data() + used_;
    *to++ = kind;
    std::memcpy(to, &length, sizeof length);
    to += sizeof length;
    if (fold_case == Fold::yes) {
      for (std::size_t i = 0; i < text.size(); ++i) to[i] = fold(text[i]);
    } else {
      std::memcpy(to, text.data(), text.size());
    }
    used_ += kHeader + text.size();
    return {to, text.size()};
  }
  /// Where the next byte will stand; marks of an earlier `epoch` are gone.
  [[nodiscard]] std::size_t position() const noexcept { return used_; }
  [[nodiscard]] std::size_t epoch() const noexcept { return epoch_; }
  [[nodiscard]] std::string_view between(std::size_t begin, std::size_t end) const noexcept {
    return {buffer_.data() + begin, end - begin};
  }
  void rewind(std::size_t position) noexcept { used_ = position; }

  [[nodiscard]] ShapeKey finish() noexcept {
    if (epoch_ == 0) return to_key(XXH3_128bits_withSeed(buffer_.data(), used_, seed_));
    XXH3_128bits_update(&state_, buffer_.data(), used_);
    return to_key(XXH3_128bits_digest(&state_));
  }

 private:
  static constexpr std::size_t kHeader = 1 + sizeof(std::uint32_t);

  void flush() noexcept {
    if (epoch_++ == 0) XXH3_128bits_reset_withSeed(&state_, seed_);
    XXH3_128bits_update(&state_, buffer_.data(), used_);
    used_ = 0;
  }

  std::uint64_t seed_;
  std::size_t used_ = 0;
  std::size_t epoch_ = 0;
  std::array<char, 8192> buffer_;  // NOLINT: filled before it is read
  XXH3_state_t state_;             // NOLINT: set by the first flush
};

/// The rows of one VALUES: those already written, so that a row of the same shape need not be written again.
class Rows {
 public:
  static constexpr std::size_t kMaxRemembered = 8;

  void begin_row(const KeyWriter& out, std::size_t separator) noexcept {
    if (out.epoch() != epoch_) {
      epoch_ = out.epoch();
      count_ = 0;
    }
    separator_ = separator;
    begin_ = out.position();
    row_epoch_ = out.epoch();
  }
  void end_row(KeyWriter& out) noexcept {
    if (out.epoch() != row_epoch_) return;
    const std::string_view row = out.between(begin_, out.position());
    for (std::size_t i = 0; i < count_; ++i) {
      if (out.between(rows_[i].begin, rows_[i].end) == row) {
        out.rewind(separator_);
        return;
      }
    }
    if (count_ < kMaxRemembered) rows_[count_++] = {begin_, out.position()};
  }

 private:
  struct Range {
    std::size_t begin, end;
  };
  std::array<Range, kMaxRemembered> rows_{};
  std::size_t count_ = 0, separator_ = 0, begin_ = 0, epoch_ = 0, row_epoch_ = 0;
};

class ShapeWriter {
 public:
  ShapeWriter(std::string_view text, std::uint64_t seed) noexcept : tokens_(text), out_(seed) {}

  /// False when the text must be keyed as it stands.
  bool run() noexcept {
    for (token_ = tokens_.next(); token_.kind != TokenKind::end; token_ = tokens_.next()) {
      if (token_.is(';')) {
        semicolon_ = true;
        continue;
      }
      if (semicolon_) return false;
      if (!write()) return false;
    }
    return true;
  }
  [[nodiscard]] ShapeKey key() noexcept { return out_.finish(); }

 private:
  bool write() noexcept {
    switch (token_.kind) {
      case TokenKind::identifier: word(); break;
      case TokenKind::quoted_identifier:
        record(Fold::no);
        previous_ = Word::other;
        break;
      case TokenKind::operator_:
        record(Fold::no);
        previous_ = Word::other;
        break;
      case TokenKind::punctuation: punctuation(); break;
      case TokenKind::number:
        // float(24) and float(25) are different types.
        if (in_float_) return false;
        constant();
        break;
      case TokenKind::string:
      case TokenKind::bit_string:
      case TokenKind::national_string:
      case TokenKind::parameter: constant(); break;
      case TokenKind::unicode_identifier:
      case TokenKind::unicode_string:
      case TokenKind::invalid:
      case TokenKind::end: return false;
    }
    return true;
  }

  std::string_view record(Fold fold_case) noexcept {
    in_float_ = false;
    return out_.record(static_cast<char>(token_.kind), token_.text, fold_case);
  }
  void constant() noexcept {
    out_.byte(static_cast<char>(token_.kind));
    previous_ = Word::other;
    in_float_ = false;
  }
  void word() noexcept {
    const std::string_view folded = record(Fold::yes);
    previous_ = Word::other;
    if (folded == "in")
      previous_ = Word::in;
    else if (folded == "array")
      previous_ = Word::array;
    else if (folded == "values")
      previous_ = Word::values;
    else if (folded == "float")
      previous_ = Word::float_;
  }
  void punctuation() noexcept {
    const Word before = previous_;
    const bool opens = token_.is('('), closes = token_.is(')');
    if (opens && before == Word::values && values_depth_ == 0) {
      values_depth_ = depth_ + 1;
      rows_ = Rows{};
      rows_.begin_row(out_, out_.position());
    }
    record(Fold::no);
    previous_ = Word::other;
    in_float_ = opens && before == Word::float_;
    if (opens) ++depth_;
    if ((opens && before == Word::in) || (token_.is('[') && before == Word::array)) constants();
    if (closes && depth_ > 0) {
      if (values_depth_ == depth_) end_row();
      --depth_;
    }
  }
  /// At the end of a row of VALUES (its parenthesis is written): take the comma and parenthesis of the next, if any.
  void end_row() noexcept {
    rows_.end_row(out_);
    Tokenizer ahead = tokens_;
    const Token comma = ahead.next();
    const Token open = ahead.next();
    if (!comma.is(',') || !open.is('(')) {
      values_depth_ = 0;
      return;
    }
    tokens_ = ahead;
    const std::size_t separator = out_.position();
    const std::size_t epoch = out_.epoch();
    token_ = comma;
    record(Fold::no);
    rows_.begin_row(out_, out_.epoch() == epoch ? separator : out_.position());
    token_ = open;
    record(Fold::no);
    ++depth_;
  }
  /// After the opening of a list: one record for the constants that it begins with, however many.
  void constants() noexcept {
    Tokenizer after_element = tokens_;
    if (!element(after_element)) return;
    out_.byte(kListMark);
    for (;;) {
      tokens_ = after_element;
      // The comma is dropped with the constant that follows it; before anything else it is kept.
      if (!after_element.next().is(',') || !element(after_element)) return;
    }
  }
  /// Moves past a constant or parameter that is a whole element of a list. A sign belongs to a constant only when the
  /// parser makes it part of one (doNegate in gram.y); else it is an operator.
  static bool element(Tokenizer& tokens) noexcept {
    Token token = tokens.next();
    const bool negative = token.kind == TokenKind::operator_ && token.text == "-";
    if (negative) token = tokens.next();
    if (negative ? token.kind != TokenKind::number : !token.is_constant() && token.kind != TokenKind::parameter)
      return false;
    const Token next = Tokenizer(tokens).next();
    return next.is(',') || next.is(')') || next.is(']');
  }

  enum class Word : std::uint8_t { other, in, array, values, float_ };
  Tokenizer tokens_;
  KeyWriter out_;
  Rows rows_;
  Token token_;
  Word previous_ = Word::other;
  bool semicolon_ = false;
  bool in_float_ = false;
  std::size_t depth_ = 0;
  std::size_t values_depth_ = 0;
};

bool has_shape(const Token& first) noexcept {
  constexpr std::array<std::string_view, 8> kWords = {"select", "insert", "update", "delete",
                                                      "values", "with",   "table",  "merge"};
  if (first.is('(')) return true;
  if (first.kind != TokenKind::identifier) return false;
  for (const std::string_view word : kWords) {
    if (first.is_word(word)) return true;
  }
  return false;
}

}  // namespace

ShapeKey exact_key(std::string_view text, std::uint64_t seed) {
  return to_key(XXH3_128bits_withSeed(text.data(), text.size(), seed ^ kExactSeed));
}

Shape shape_of(std::string_view text, std::uint64_t seed) {
  if (has_shape(Tokenizer(text).next())) {
    ShapeWriter writer(text, seed);
    if (writer.run()) return {writer.key(), false};
  }
  return {exact_key(text, seed), true};
}

}  // namespace pgweir::sql
