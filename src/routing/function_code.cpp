// Why words are enough. A session's state is changed by utility statements, by functions that do it, and by text that
// is run (EXECUTE, and functions that run what they are given). Each of them stands in the text as an unquoted keyword
// or as a name, because what has no word for it cannot be reached: text that is run needs one of the words in kWords,
// and names are handed to the catalog, which knows the functions of that name, whatever schema they are in. So no
// grammar is needed: the text is cut into tokens by PostgreSQL's own lexical rules, and a word that might begin such a
// statement makes it loud wherever it stands, be it only a column's name. Two words are too common for that, and are
// let through in one place each:
//  - SET, where only names, dots, stars and parentheses stand between it and an UPDATE before it. The statement SET
//    stands right behind the end of another one (;), or BEGIN, THEN, ELSE, LOOP or a label's >>. None of these may
//    stand in between, so it cannot be the statement.
//  - DO, in front of UPDATE or NOTHING. The statement DO has a string or LANGUAGE behind it.
// A word behind a dot is a column, a function or the like, and no keyword.
#include "routing/function_code.h"

#include <algorithm>
#include <array>

#include "routing/catalog.h"
#include "sql/tokenizer.h"

namespace pgweir::routing {
namespace {

using sql::Token;
using sql::TokenKind;
using Word = std::string_view;

/// Words that a quiet text has nowhere, but for SET and DO as above: session state by name (SET, LISTEN, PREPARE, TEMP,
/// WITH HOLD, ...); code and text that is run (CALL, DO, EXECUTE); all DDL, because it may make temporary objects
/// without the word TEMP (under pg_temp in the search_path) and runs event triggers; CASCADE, because TRUNCATE fires
/// the triggers of tables that it does not name then; and the schema of temporary objects, which no catalog knows.
constexpr std::array<Word, 20> kWords = {
    "alter",  "call",   "cascade", "create",  "deallocate", "discard", "do",  "drop", "execute",   "hold",
    "import", "listen", "load",    "pg_temp", "prepare",    "reset",   "set", "temp", "temporary", "unlisten",
};

/// Statements that change nothing of the session, but run event triggers or the code of indexes and views. Their words
/// are common as names: they count where a statement may begin.
constexpr std::array<Word, 13> kStatements = {"analyse", "analyze",  "checkpoint", "cluster", "comment",
                                              "copy",    "grant",    "reassign",   "refresh", "reindex",
                                              "revoke",  "security", "vacuum"};

/// Functions whose effect outlives the transaction though the catalog calls them PostgreSQL's own, and functions
/// (STABLE ones too, which count as harmless elsewhere) that run the text that they are given or look up a type by its
/// name. currval() and lastval() ask for what another session may have left.
constexpr std::array<Word, 15> kPrefixes = {
    "pg_advisory_",   "pg_try_advisory_", "pg_create_",  "pg_copy_", "pg_start_backup",
    "pg_stop_backup", "pg_backup_st",     "pg_input_",   "dblink",   "crosstab",
    "connectby",      "xpath_table",      "pg_settings", "currval",  "lastval",
};
constexpr std::array<Word, 2> kTransactionLocks = {"pg_advisory_xact_", "pg_try_advisory_xact_"};

constexpr std::array<Word, 5> kWriting = {"delete", "insert", "merge", "truncate", "update"};

/// Behind these a statement may begin, besides a semicolon, a label and the beginning of the text.
constexpr std::array<Word, 5> kOpening = {"atomic", "begin", "else", "loop", "then"};

/// Operators that BETWEEN, IN, LIKE, CASE, DISTINCT, ORDER BY and their kin stand for.
constexpr std::array<Word, 12> kImplied = {"=", "<>", "<", "<=", ">", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~"};

constexpr std::array<Word, 11> kQuietExtensions = {
    "autoinc",  "insert_username", "lo",      "moddatetime", "pg_buffercache", "pg_stat_statements",
    "pgcrypto", "pgstattuple",     "sslinfo", "tcn",         "uuid-ossp",
};

constexpr std::size_t kLongestName = 63;  ///< longer ones are cut by PostgreSQL

template <std::size_t N>
bool is_among(const std::array<Word, N>& words, Word word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

template <std::size_t N>
bool begins_with_one(const std::array<Word, N>& prefixes, Word word) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](Word prefix) { return word.starts_with(prefix); });
}

bool is_plain(char c) { return c >= ' ' && c <= '~'; }

/// Which quote ends a string must not depend on standard_conforming_strings, which nobody here knows: without it a
/// backslash takes the quote behind it away.
bool is_ambiguous(Word string) {
  return sql::fold(string.front()) != 'e' && string.front() != '$' && string.find("\\'") != Word::npos;
}

bool is_loud_name(const std::string& name) {
  return name.starts_with("pg_temp") || changes_session({"", name}) ||
         (begins_with_one(kPrefixes, name) && !begins_with_one(kTransactionLocks, name));
}

void sort_each_once(std::vector<std::string>& words) {
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
}

class Reader {
 public:
  Reader(std::string_view body, CodeLanguage language) : tokens_(body), language_(language) {}

  CodeFacts run() {
    Token token = tokens_.next();
    if (token.kind == TokenKind::end) return {};
    while (token.kind != TokenKind::end) {
      const Token following = tokens_.next();
      if (!take(token, following)) return {};
      token = following;
    }
    sort_each_once(facts_.names);
    if (std::any_of(facts_.names.begin(), facts_.names.end(), is_loud_name)) return {};
    facts_.writes = std::any_of(facts_.names.begin(), facts_.names.end(),
                                [](const std::string& name) { return is_among(kWriting, Word(name)); });
    facts_.quiet = true;
    facts_.operators.insert(facts_.operators.end(), kImplied.begin(), kImplied.end());
    sort_each_once(facts_.operators);
    return std::move(facts_);
  }

 private:
  /// What a token leaves for the one behind it.
  struct Before {
    bool may_begin = true;  ///< a statement
    bool dot = false;
    bool update = false;       ///< UPDATE, and since then only what may stand between it and its SET
    bool parenthesis = false;  ///< an opening one
    bool into = false;         ///< INSERT or MERGE at the beginning of a statement: INTO names a table that exists
  };

  /// False: not quiet.
  bool take(const Token& token, const Token& following) {
    const Before before = before_;
    before_ = {};
    before_.may_begin = false;
    switch (token.kind) {
      case TokenKind::identifier: return take_word(token, following, before);
      case TokenKind::quoted_identifier: before_.update = before.update; return take_quoted(token.text);
      case TokenKind::string:
      case TokenKind::bit_string: return !is_ambiguous(token.text);
      case TokenKind::number:
      case TokenKind::parameter: return true;
      case TokenKind::operator_:
        before_.may_begin = token.text.ends_with(">>");
        before_.update = before.update && token.text == "*";
        facts_.operators.emplace_back(token.text);
        return true;
      case TokenKind::punctuation:
        before_.may_begin = token.is(';');
        before_.dot = token.is('.');
        before_.parenthesis = token.is('(');
        before_.update = before.update && (token.is('.') || token.is('(') || token.is(')'));
        return true;
      default: return false;
    }
  }

  bool take_word(const Token& token, const Token& following, const Before& before) {
    if (token.text.size() > kLongestName) return false;
    std::string word(token.text);
    for (char& c : word) {
      if (!is_plain(c)) return false;  // PostgreSQL folds it by the locale
      c = sql::fold(c);
    }
    if (!before.dot && is_loud(word, following, before)) return false;
    before_.may_begin = !before.dot && is_among(kOpening, Word(word));
    before_.update = !before_.may_begin && (before.update || (!before.dot && word == "update"));
    before_.into = (before.may_begin || before.parenthesis) && (word == "insert" || word == "merge");
    facts_.names.push_back(std::move(word));
    return true;
  }

  [[nodiscard]] bool is_loud(Word word, const Token& following, const Before& before) const {
    if (word == "set") return !before.update;
    if (word == "do") return !following.is_word("update") && !following.is_word("nothing");
    if (word == "into") return language_ == CodeLanguage::sql && !before.into;  // in PL/pgSQL: variables
    return is_among(kWords, word) || (before.may_begin && is_among(kStatements, word));
  }

  bool take_quoted(Word quoted) {
    std::string name;
    for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
      if (!is_plain(quoted[i])) return false;
      name += quoted[i];
      if (quoted[i] == '"') ++i;
    }
    facts_.names.push_back(std::move(name));
    return facts_.names.back().size() <= kLongestName;
  }

  sql::Tokenizer tokens_;
  CodeLanguage language_;
  Before before_;
  CodeFacts facts_;
};

}  // namespace

CodeFacts read_code(std::string_view body, CodeLanguage language) { return Reader(body, language).run(); }

bool is_quiet_extension(std::string_view name) { return is_among(kQuietExtensions, name); }

}  // namespace pgweir::routing
