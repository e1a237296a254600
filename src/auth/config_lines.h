// The text form that HBA files and ident maps share: lines of fields, fields of words separated by commas. Comments,
// quotes, continuation lines, @files and includes are dealt with here; what the words mean is for hba_file.h and
// ident_maps.h. Files are read through `Files`, so that tests and fuzzers need none.
//
// Sources: PostgreSQL documentation 16, "The pg_hba.conf File"; backend/libpq/hba.c, next_token, tokenize_auth_file.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/word.h"
#include "base/result.h"

namespace pgweir::auth {

using Field = std::vector<Word>;

struct ConfigLine {
  std::string file;
  int number = 0;             ///< of its first line, from 1; 0: the file as a whole
  std::vector<Field> fields;  ///< none is empty; of a line without an error at least one
  std::string error;          ///< why it cannot be taken; empty when it can
};

/// How files are reached. Both may be called from `read_config_lines` only.
struct Files {
  std::function<base::Result<std::string>(const std::string& path)> read;
  std::function<bool(const std::string& path)> exists;
  /// The paths of the files in a directory that include_dir takes: those that end in .conf and do not begin with a
  /// dot, in the order of their bytes.
  std::function<base::Result<std::vector<std::string>>(const std::string& directory)> list;
};
[[nodiscard]] Files files_on_disk();

/// The lines of the file at `path` and of all that it includes, in order. Relative paths in it start at the directory
/// of the file that names them. Files within files go ten deep at most, and are 10,000
/// in all at most.
[[nodiscard]] std::vector<ConfigLine> read_config_lines(const std::string& path, const Files& files);

}  // namespace pgweir::auth
