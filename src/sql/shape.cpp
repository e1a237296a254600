// Writes one record per token into a small buffer that is hashed: a kind byte, and for words and operators a length and
// the characters. The records cannot be confused with each other, so that only a collision of XXH3 itself could be.
//
// Lists of constants become one record: the elements after IN ( and ARRAY [, and the rows of VALUES that look like a
// row that was already written. Everywhere else a constant stands where it stood.
#include "sql/shape.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "sql/tokenizer.h"
#define XXH_INLINE_ALL  // short keys are hashed where they are written, without a call into a shared library
#include "xxhash.h"

namespace pgweir::sql {
namespace {

/// Keys of exact texts and keys of shapes are hashes of other seeds.
constexpr std::uint64_t kExactSeed = 0x5bd1e995c2b2ae35ULL;
constexpr char kListMark = 'L';

ShapeKey to_key(XXH128_hash_t hash) noexcept { return {hash.low64, hash.high64}; }

enum class Fold : std::uint8_t { no, yes };

/// Copies eight bytes at a time: reads up to 7 more than `size`, where `readable` are there, and writes up to 7 more.
void copy(char* to, const char* from, std::size_t size, std::size_t readable) noexcept {
  std::size_t i = 0;
  for (; i < size && readable - i >= 8; i += 8) std::memcpy(to + i, from + i, 8);
  for (; i < size; ++i) to[i] = from[i];
}

/// Collects bytes; hashes them in one go when they fit the buffer, which nearly all texts do.
class KeyWriter {
 public:
  explicit KeyWriter(std::uint64_t seed) noexcept : seed_(seed) {}  // NOLINT: see the members

  void byte(char c) noexcept {
    if (used_ == kCapacity) flush();
    buffer_[used_++] = c;
  }
  /// A kind, a length and the characters; `readable` bytes can be read from where `text` begins.
  void record(char kind, std::string_view text, std::size_t readable) noexcept {
    if (!make_room(text.size())) return long_record(kind, text, Fold::no);
    char* to = header(kind, text.size());
    if (text.size() == 1)
      *to = text[0];
    else
      copy(to, text.data(), text.size(), readable);
  }
  /// Where the characters of a word may be written, for word(): Tokenizer::kFoldedRoom bytes.
  [[nodiscard]] char* place_of_word() noexcept { return buffer_ + used_ + kHeader; }
  /// Makes a record of a word whose folded characters stand there, as far as they were written. Returns them; they stay
  /// readable until the next call. The result is empty when the word is too long to be a keyword.
  std::string_view word(char kind, std::string_view text) noexcept {
    if (text.size() > Tokenizer::kMostFolded || used_ + kHeader + text.size() > kCapacity) [[unlikely]]
      return long_word(kind, text);
    return {header(kind, text.size()), text.size()};
  }
  /// Where the next byte will stand; marks of an earlier `epoch` are gone.
  [[nodiscard]] std::size_t position() const noexcept { return used_; }
  [[nodiscard]] std::size_t epoch() const noexcept { return epoch_; }
  [[nodiscard]] std::string_view between(std::size_t begin, std::size_t end) const noexcept {
    return {buffer_ + begin, end - begin};
  }
  void rewind(std::size_t position) noexcept { used_ = position; }

  [[nodiscard]] ShapeKey finish() noexcept {
    if (epoch_ == 0) return to_key(XXH3_128bits_withSeed(buffer_, used_, seed_));
    XXH3_128bits_update(&state_, buffer_, used_);
    return to_key(XXH3_128bits_digest(&state_));
  }

 private:
  static constexpr std::size_t kHeader = 1 + sizeof(std::uint32_t), kCapacity = 8192;

  /// False when a record of that many characters does not fit even an empty buffer.
  bool make_room(std::size_t size) noexcept {
    if (used_ + kHeader + size <= kCapacity) [[likely]]
      return true;
    flush();
    return kCapacity >= kHeader + size;
  }
  /// There must be room. Returns where the characters belong.
  char* header(char kind, std::size_t size) noexcept {
    char* to = buffer_ + used_;
    used_ += kHeader + size;
    const auto length = static_cast<std::uint32_t>(size);
    *to = kind;
    std::memcpy(to + 1, &length, sizeof length);
    return to + kHeader;
  }
  [[gnu::noinline]] std::string_view long_word(char kind, std::string_view text) noexcept {
    if (!make_room(text.size())) {
      long_record(kind, text, Fold::yes);
      return {};
    }
    char* to = header(kind, text.size());
    std::transform(text.begin(), text.end(), to, fold);
    return {to, text.size()};
  }
  [[gnu::noinline]] void long_record(char kind, std::string_view text, Fold fold_case) noexcept {
    byte(kind);
    for (unsigned shift = 0; shift < 32; shift += 8) byte(static_cast<char>((text.size() >> shift) & 0xff));
    for (const char c : text) byte(fold_case == Fold::yes ? fold(c) : c);
  }
  [[gnu::noinline]] void flush() noexcept {
    if (epoch_++ == 0) XXH3_128bits_reset_withSeed(&state_, seed_);
    XXH3_128bits_update(&state_, buffer_, used_);
    used_ = 0;
  }

  std::uint64_t seed_;
  std::size_t used_ = 0;
  std::size_t epoch_ = 0;
  char buffer_[kCapacity + kHeader + Tokenizer::kFoldedRoom];  // NOLINT: filled before it is read
  XXH3_state_t state_;                                         // NOLINT: set by the first flush
};

/// The rows of one VALUES: those already written, so that a row of the same shape need not be written again.
class Rows {
 public:
  static constexpr std::size_t kMaxRemembered = 8;

  Rows() noexcept {}  // NOLINT: nothing to set, as nearly no text has rows

  void begin(const KeyWriter& out) noexcept {
    count_ = 0;
    epoch_ = out.epoch();
    begin_row(out, out.position());
  }
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
  // Set by begin_row(); of the rows the first count_.
  std::array<Range, kMaxRemembered> rows_;
  std::size_t count_, separator_, begin_, epoch_, row_epoch_;
};

/// Whether texts that begin with this token have shapes; if it is a word, it stands in lower case at `folded`.
/// Takes no reference to the token, so that its caller can have it in registers.
bool has_shape(TokenKind first, std::string_view text, const char* folded) noexcept {
  if (first != TokenKind::identifier) return first == TokenKind::punctuation && text == "(";
  const std::string_view word(folded, text.size());
  switch (word.size()) {
    case 4: return word == "with";
    case 5: return word == "table" || word == "merge";
    case 6: return word == "select" || word == "update" || word == "insert" || word == "delete" || word == "values";
    default: return false;
  }
}

class ShapeWriter {
 public:
  ShapeWriter(std::string_view text, std::uint64_t seed) noexcept : text_(text), out_(seed) {}

  /// False when the text must be keyed as it stands.
  bool run() noexcept {
    Tokenizer tokens(text_);
    Before next = Before::first;
    for (;;) {
      const Token token = tokens.next_folded(out_.place_of_word());
      const Before before = std::exchange(next, Before::other);
      if (before == Before::first && !has_shape(token.kind, token.text, out_.place_of_word())) return false;
      switch (token.kind) {
        case TokenKind::identifier: next = meaning_of(word(token)); break;
        case TokenKind::punctuation:
          if (token.is(';')) return tokens.position() == text_.size() || only_semicolons(tokens.position());
          if (token.is('(')) {
            open(before, token);
            if (before == Before::in) tokens = Tokenizer(text_, constants(tokens.position()));
            if (before == Before::float_) next = Before::float_open;
            break;
          }
          record(token);
          if (token.is(')') && close()) tokens = Tokenizer(text_, next_row(tokens.position()));
          if (token.is('[') && before == Before::array) tokens = Tokenizer(text_, constants(tokens.position()));
          break;
        case TokenKind::quoted_identifier:
        case TokenKind::operator_: record(token); break;
        case TokenKind::number:
          // float(24) and float(25) are different types.
          if (before == Before::float_open) return false;
          [[fallthrough]];
        case TokenKind::string:
        case TokenKind::bit_string:
        case TokenKind::national_string:
        case TokenKind::parameter: out_.byte(static_cast<char>(token.kind)); break;
        case TokenKind::unicode_identifier:
        case TokenKind::unicode_string:
        case TokenKind::invalid: return false;
        case TokenKind::end: return true;
      }
    }
  }
  [[nodiscard]] ShapeKey key() noexcept { return out_.finish(); }

 private:
  /// What the last token was, as far as it changes how the next is read; `first`: there was none; `float_open`: float
  /// and (.
  enum class Before : std::uint8_t { first, other, in, array, values, float_, float_open };

  static Before meaning_of(std::string_view word) noexcept {
    switch (word.size()) {
      case 2: return word == "in" ? Before::in : Before::other;
      case 5: return word == "array" ? Before::array : word == "float" ? Before::float_ : Before::other;
      case 6: return word == "values" ? Before::values : Before::other;
      default: return Before::other;
    }
  }
  void record(Token token) noexcept {
    out_.record(static_cast<char>(token.kind), token.text, text_.size() - token.offset);
  }
  std::string_view word(Token token) noexcept { return out_.word(static_cast<char>(token.kind), token.text); }
  void open(Before before, Token token) noexcept {
    ++depth_;
    if (before == Before::values && values_depth_ == 0) {
      values_depth_ = depth_;
      rows_.begin(out_);
    }
    record(token);
  }
  /// Whether it was a row of VALUES that ended.
  bool close() noexcept { return depth_ > 0 && values_depth_ == depth_--; }

  // What follows takes positions, and returns where the tokens go on: a tokenizer is not handed out (see there).

  /// At the end of a row of VALUES (its parenthesis is written): take the comma and parenthesis of the next, if any.
  [[gnu::noinline]] std::size_t next_row(std::size_t position) noexcept {
    rows_.end_row(out_);
    Tokenizer ahead(text_, position);
    const Token comma = ahead.next();
    const Token opening = ahead.next();
    if (!comma.is(',') || !opening.is('(')) {
      values_depth_ = 0;
      return position;
    }
    const std::size_t separator = out_.position();
    const std::size_t epoch = out_.epoch();
    record(comma);
    rows_.begin_row(out_, out_.epoch() == epoch ? separator : out_.position());
    record(opening);
    ++depth_;
    return ahead.position();
  }
  /// After the opening of a list: one record for the constants that it begins with, however many. The comma is dropped
  /// with the constant that follows it; before anything else it is kept.
  [[gnu::noinline]] std::size_t constants(std::size_t position) noexcept {
    Tokenizer ahead(text_, position);
    for (bool first = true;; first = false) {
      if (!skip_constant(ahead)) return position;
      const std::size_t after_element = ahead.position();
      const Token next = ahead.next_folded(out_.place_of_word());
      const bool more = next.is(',');
      if (!more && !next.is(')') && !next.is(']')) return position;
      if (first) out_.byte(kListMark);
      position = after_element;
      if (!more) return position;
    }
  }
  /// Moves past a constant or parameter. A sign belongs to a constant only when the parser makes it part of one
  /// (doNegate in gram.y); else it is an operator.
  bool skip_constant(Tokenizer& tokens) noexcept {
    const Token token = tokens.next_folded(out_.place_of_word());
    if (token.kind == TokenKind::operator_ && token.text == "-") return tokens.next().kind == TokenKind::number;
    return token.is_constant() || token.kind == TokenKind::parameter;
  }
  [[gnu::noinline]] bool only_semicolons(std::size_t position) const noexcept {
    Tokenizer tokens(text_, position);
    for (;;) {
      const Token token = tokens.next();
      if (!token.is(';')) return token.kind == TokenKind::end;
    }
  }

  std::string_view text_;
  KeyWriter out_;
  Rows rows_;
  std::size_t depth_ = 0;
  std::size_t values_depth_ = 0;
};

}  // namespace

ShapeKey exact_key(std::string_view text, std::uint64_t seed) {
  return to_key(XXH3_128bits_withSeed(text.data(), text.size(), seed ^ kExactSeed));
}

Shape shape_of(std::string_view text, std::uint64_t seed) {
  ShapeWriter writer(text, seed);
  if (writer.run()) return {writer.key(), false};
  return {exact_key(text, seed), true};
}

}  // namespace pgweir::sql
