// Who listens to what; see listen_books.h.
#include "session/listen_books.h"

#include <algorithm>
#include <set>
#include <utility>

namespace pgweir::session {

void ListenBooks::ask(base::SessionId session, const std::string& channel) {
  if (Entry* entry = find(session, channel)) {
    if (entry->state == State::leaving) entry->state = State::asked;
    return;
  }
  channels_[channel].push_back({session, State::asked});
  sessions_[session].push_back(channel);
}

void ListenBooks::confirm(base::SessionId session, const std::string& channel) {
  if (Entry* entry = find(session, channel)) entry->state = State::listening;
}

bool ListenBooks::refuse(base::SessionId session, const std::string& channel) {
  const Entry* entry = find(session, channel);
  // One that listened before goes on.
  if (entry && entry->state == State::asked) erase(session, channel);
  return !is_wanted(channel);
}

std::vector<std::string> ListenBooks::leave(base::SessionId session, const std::string& channel) {
  std::vector<std::string> unwanted;
  for (const std::string& one : channels_of(session, channel)) {
    find(session, one)->state = State::leaving;
    if (!is_wanted(one)) unwanted.push_back(one);
  }
  return unwanted;
}

void ListenBooks::left(base::SessionId session) {
  for (const std::string& one : channels_of(session, {}))
    if (find(session, one)->state == State::leaving) erase(session, one);
}

std::vector<std::string> ListenBooks::forget(base::SessionId session, const std::string& channel) {
  std::vector<std::string> unwanted;
  for (const std::string& one : channels_of(session, channel)) {
    erase(session, one);
    if (!is_wanted(one)) unwanted.push_back(one);
  }
  return unwanted;
}

void ListenBooks::lose() {
  std::vector<std::pair<base::SessionId, std::string>> asked;
  for (auto& [channel, entries] : channels_)
    for (Entry& entry : entries) {
      if (entry.state == State::asked) asked.emplace_back(entry.session, channel);
      entry.state = State::listening;
    }
  for (const auto& [session, channel] : asked) erase(session, channel);
}

bool ListenBooks::has(base::SessionId session, std::string_view channel) const {
  return const_cast<ListenBooks*>(this)->find(session, channel) != nullptr;
}

std::vector<base::SessionId> ListenBooks::listeners(std::string_view channel) const {
  std::vector<base::SessionId> ids;
  const auto found = channels_.find(channel);
  if (found == channels_.end()) return ids;
  for (const Entry& entry : found->second)
    if (entry.state != State::asked) ids.push_back(entry.session);
  return ids;
}

std::vector<base::SessionId> ListenBooks::listeners() const {
  std::set<base::SessionId> ids;
  for (const auto& [channel, entries] : channels_)
    for (const Entry& entry : entries)
      if (entry.state != State::asked) ids.insert(entry.session);
  return {ids.begin(), ids.end()};
}

std::vector<std::string> ListenBooks::channels() const {
  std::vector<std::string> names;
  for (const auto& [channel, entries] : channels_)
    if (std::any_of(entries.begin(), entries.end(), [](const Entry& one) { return one.state != State::asked; }))
      names.push_back(channel);
  return names;
}

ListenBooks::Entry* ListenBooks::find(base::SessionId session, std::string_view channel) {
  const auto found = channels_.find(channel);
  if (found == channels_.end()) return nullptr;
  for (Entry& entry : found->second)
    if (entry.session == session) return &entry;
  return nullptr;
}

std::vector<std::string> ListenBooks::channels_of(base::SessionId session, const std::string& channel) const {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return {};
  if (channel.empty()) return found->second;
  if (std::find(found->second.begin(), found->second.end(), channel) == found->second.end()) return {};
  return {channel};
}

bool ListenBooks::is_wanted(std::string_view channel) const {
  const auto found = channels_.find(channel);
  return found != channels_.end() && std::any_of(found->second.begin(), found->second.end(),
                                                 [](const Entry& one) { return one.state != State::leaving; });
}

void ListenBooks::erase(base::SessionId session, const std::string& channel) {
  const auto there = channels_.find(channel);
  std::erase_if(there->second, [&](const Entry& one) { return one.session == session; });
  if (there->second.empty()) channels_.erase(there);
  const auto own = sessions_.find(session);
  std::erase(own->second, channel);
  if (own->second.empty()) sessions_.erase(own);
}

}  // namespace pgweir::session
