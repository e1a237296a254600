// The state file; see failover_state.h.
#include "cluster/failover_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "fmt/format.h"
#include "yaml-cpp/yaml.h"

namespace pgweir::cluster {

namespace {

constexpr int kVersion = 1;

/// A YAML text in double quotes.
std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else if (c == '"' || c == '\\')
      (out += '\\') += c;
    else
      out += c;
  }
  return out + "\"";
}

std::string list_of(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& one : texts) out += (out.empty() ? "" : ", ") + in_quotes(one);
  return "[" + out + "]";
}

std::string name_of(std::optional<base::NodeId> node, const std::vector<FailoverNode>& nodes) {
  return node && node->value < nodes.size() ? nodes[node->value].name : std::string();
}

std::optional<base::NodeId> node_called(const std::string& name, const std::vector<FailoverNode>& nodes) {
  for (std::size_t i = 0; i < nodes.size(); ++i)
    if (nodes[i].name == name) return base::NodeId{static_cast<std::uint16_t>(i)};
  return {};
}

std::vector<std::string> texts_of(const YAML::Node& list) {
  std::vector<std::string> texts;
  for (const auto& one : list) texts.push_back(one.as<std::string>());
  return texts;
}

FailoverState read(const YAML::Node& file, const std::vector<FailoverNode>& nodes) {
  if (file["version"].as<int>() != kVersion) throw YAML::Exception(YAML::Mark::null_mark(), "it has another version");
  if (!file["complete"].as<bool>()) throw YAML::Exception(YAML::Mark::null_mark(), "it is not complete");
  FailoverState state;
  FailoverMemory& memory = state.memory;
  memory.system_identifier = file["system_identifier"].as<std::uint64_t>();
  const auto primary = file["primary"].as<std::string>();
  memory.primary = node_called(primary, nodes);
  memory.timeline = file["timeline"].as<std::uint32_t>();
  memory.timeline_began = file["timeline_began"].as<routing::Lsn>();
  memory.own_name = file["own_name"].as<std::string>();
  memory.sync_text = file["synchronous_standby_names"].as<std::string>();
  memory.sync = parse_synchronous_standby_names(memory.sync_text);
  if (const YAML::Node before = file["sync_before"])
    memory.sync_before =
        SyncRule{before["count"].as<unsigned>(), before["everyone"].as<bool>(), texts_of(before["names"])};
  memory.sync_changed_at = file["sync_changed_at"].as<routing::Lsn>();
  memory.strangers = texts_of(file["strangers"]);
  state.before_primary = node_called(file["before_primary"].as<std::string>(), nodes);
  // Files of before there were such nodes do not have these.
  if (const YAML::Node origin = file["origin"]) memory.origin = node_called(origin.as<std::string>(), nodes);
  if (const YAML::Node origin = file["origin_instead_of"])
    memory.instead_of = node_called(origin.as<std::string>(), nodes);
  memory.nodes.resize(nodes.size());
  state.upstreams.resize(nodes.size());
  for (const auto& one : file["nodes"]) {
    const auto node = node_called(one["name"].as<std::string>(), nodes);
    if (!node) continue;
    memory.nodes[node->value] = {one["disabled"].as<bool>(), one["cut_off"].as<bool>(), one["demoted"].as<bool>(),
                                 one["maybe_promoted"].as<bool>(),
                                 one["system_identifier"] ? one["system_identifier"].as<std::uint64_t>() : 0};
    state.upstreams[node->value] = {one["conninfo"].as<std::string>(), one["slot"].as<std::string>()};
  }
  return state;
}

base::Failure failure(const std::string& path, std::string_view what) {
  return base::fail(base::sqlstate::config_file_error, fmt::format("{} \"{}\": {}", what, path, std::strerror(errno)));
}

base::Result<bool> write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failure(path, "cannot write the file");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(fd) != 0) return failure(path, "cannot bring to disk the file");
  return true;
}

}  // namespace

std::string text_of(const FailoverState& state, const std::vector<FailoverNode>& nodes) {
  const FailoverMemory& memory = state.memory;
  std::string out = fmt::format(
      "# What pgweir must not forget in the middle of a failover. It writes this file itself.\n# There may be "
      "passwords "
      "in it.\nversion: {}\nsystem_identifier: {}\nprimary: {}\nbefore_primary: {}\ntimeline: {}\ntimeline_began: {}\n"
      "own_name: {}\nsynchronous_standby_names: {}\n",
      kVersion, memory.system_identifier, in_quotes(name_of(memory.primary, nodes)),
      in_quotes(name_of(state.before_primary, nodes)), memory.timeline, memory.timeline_began,
      in_quotes(memory.own_name), in_quotes(memory.sync_text));
  if (memory.sync_before)
    out += fmt::format("sync_before: {{count: {}, everyone: {}, names: {}}}\n", memory.sync_before->count,
                       memory.sync_before->everyone, list_of(memory.sync_before->names));
  if (memory.origin)
    out += fmt::format("origin: {}\norigin_instead_of: {}\n", in_quotes(name_of(memory.origin, nodes)),
                       in_quotes(name_of(memory.instead_of, nodes)));
  out += fmt::format("sync_changed_at: {}\nstrangers: {}\nnodes:\n", memory.sync_changed_at, list_of(memory.strangers));
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const FailoverMemory::Node node = i < memory.nodes.size() ? memory.nodes[i] : FailoverMemory::Node{};
    const Upstream upstream = i < state.upstreams.size() ? state.upstreams[i] : Upstream{};
    out += fmt::format(
        "  - {{name: {}, disabled: {}, cut_off: {}, demoted: {}, maybe_promoted: {}, system_identifier: {}, "
        "conninfo: {}, slot: {}}}\n",
        in_quotes(nodes[i].name), node.disabled, node.cut_off, node.demoted, node.maybe_promoted,
        node.system_identifier, in_quotes(upstream.conninfo), in_quotes(upstream.slot));
  }
  out += "complete: true\n";
  return out;
}

base::Result<FailoverState> failover_state_from(const std::string& text, const std::vector<FailoverNode>& nodes) {
  try {
    return read(YAML::Load(text), nodes);
  } catch (const YAML::Exception& e) {
    return base::fail(base::sqlstate::config_file_error, e.what());
  }
}

base::Result<FailoverState> load_failover_state(const std::string& path, const std::vector<FailoverNode>& nodes) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    if (errno == ENOENT) return failover_state_from(text_of(FailoverState{}, nodes), nodes);
    return failure(path, "cannot read the file");
  }
  std::ostringstream text;
  text << file.rdbuf();
  auto state = failover_state_from(text.str(), nodes);
  if (state) return state;
  return base::fail(base::sqlstate::config_file_error,
                    fmt::format("the state file \"{}\" cannot be understood: {}", path, state.error().message), {},
                    "look at the nodes, and remove the file only if none of them was cut off or promoted by pgweir "
                    "and not finished");
}

base::Result<bool> write_durably(const std::string& path, const std::string& text) {
  const std::string partial = path + ".new";
  const int fd = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return failure(partial, "cannot make the file");
  auto written = write_all(fd, text, partial);
  ::close(fd);
  if (!written) return written;
  if (::rename(partial.c_str(), path.c_str()) != 0) return failure(path, "cannot replace the file");
  std::string directory = std::filesystem::path(path).parent_path().string();
  if (directory.empty()) directory = ".";
  const int folder = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return failure(directory, "cannot open the directory");
  const bool kept = ::fsync(folder) == 0;
  ::close(folder);
  if (!kept) return failure(directory, "cannot bring to disk the directory");
  return true;
}

}  // namespace pgweir::cluster
