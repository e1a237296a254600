// Texts for people, made from the option table: the reference, the annotated sample, and what `--check` says.
#pragma once
#include <string>

#include "config/settings.h"

namespace pgweir::config {

/// docs/config.md.
[[nodiscard]] std::string render_markdown();
/// config/pgweir.yaml: every key with its default; the nodes are an example.
[[nodiscard]] std::string render_sample();
/// What was understood, in a few readable lines that end with a line break: nodes, listening, pools, routing.
[[nodiscard]] std::string explain(const Settings& settings);

}  // namespace pgweir::config
