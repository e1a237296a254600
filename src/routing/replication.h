// What is read of a database when its standbys have only some of its tables (topology: logical): which tables each has,
// and what else a read may read besides the relations that it names. Plain values; replication_queries.h reads them,
// catalog_readers.h makes an answer of them.
#pragma once
#include <string>
#include <vector>

#include "base/ids.h"
#include "sql/statement_facts.h"

namespace pgweir::routing {

struct ReplicationRows {
  /// The tables of one standby that have what the primary's have. A name of "*": all of the schema.
  struct Tables {
    base::NodeId node;
    std::vector<sql::QualifiedName> tables;
  };
  /// A partition or child of a table.
  struct Child {
    sql::QualifiedName parent, child;
  };
  /// A function that users wrote and that is not volatile. Those have to be known not to read what is not there.
  struct Function {
    sql::QualifiedName name;
    std::string language, extension;  ///< the extension that it belongs to; empty: none
    std::string body;                 ///< of sql and plpgsql; empty when unknown or too long
  };
  /// An operator that users made.
  struct Operator {
    sql::QualifiedName name, function;
  };
  std::vector<Tables> nodes;
  std::vector<Child> children;
  std::vector<Function> functions;
  std::vector<Operator> operators;
  /// Functions of users that statements run without naming them: casts, comparisons; not those in C.
  std::vector<sql::QualifiedName> unnamed;
};

}  // namespace pgweir::routing
