// libpam, one conversation for each question; see pam_login.h.
#include "net/pam_login.h"

#include <netdb.h>
#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>

#ifdef PGWEIR_HAS_PAM
#include <security/pam_appl.h>
#endif

namespace pgweir::net {

namespace sqlstate = base::sqlstate;

#ifdef PGWEIR_HAS_PAM

namespace {

/// The password to whoever asks for something unseen; nothing else is known. PAM frees what it is given.
int converse(int count, const pam_message** messages, pam_response** responses, void* data) {
  if (count <= 0 || count > PAM_MAX_NUM_MSG) return PAM_CONV_ERR;
  const auto& password = static_cast<const PamRequest*>(data)->password;
  auto* answers = static_cast<pam_response*>(std::calloc(static_cast<std::size_t>(count), sizeof(pam_response)));
  if (!answers) return PAM_BUF_ERR;
  for (int i = 0; i < count; ++i) {
    const int style = messages[i]->msg_style;
    const bool wanted = style == PAM_PROMPT_ECHO_OFF;
    const bool only_told = style == PAM_ERROR_MSG || style == PAM_TEXT_INFO;
    const std::string_view text = wanted ? password.reveal() : std::string_view();
    answers[i].resp = ::strndup(text.empty() ? "" : text.data(), text.size());
    if ((wanted || only_told) && answers[i].resp) continue;
    for (int j = 0; j <= i; ++j) {
      if (answers[j].resp) base::wipe(answers[j].resp, std::strlen(answers[j].resp));
      std::free(answers[j].resp);
    }
    std::free(answers);
    return PAM_CONV_ERR;
  }
  *responses = answers;
  return PAM_SUCCESS;
}

/// pgweir delays failed logins by itself, and not on a thread.
void no_delay(int, unsigned, void*) {}

std::string name_of(const std::string& address) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (::getaddrinfo(address.c_str(), nullptr, &hints, &found) != 0) return address;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  std::array<char, NI_MAXHOST> name{};
  if (::getnameinfo(found->ai_addr, found->ai_addrlen, name.data(), name.size(), nullptr, 0, NI_NAMEREQD) != 0)
    return address;
  return name.data();
}

bool means_no(int code) {
  switch (code) {
    case PAM_AUTH_ERR:
    case PAM_USER_UNKNOWN:
    case PAM_PERM_DENIED:
    case PAM_MAXTRIES:
    case PAM_ACCT_EXPIRED:
    case PAM_NEW_AUTHTOK_REQD:
    case PAM_CRED_EXPIRED:
    case PAM_CRED_INSUFFICIENT: return true;
    default: return false;
  }
}

}  // namespace

bool has_pam() { return true; }

base::Result<bool> pam_login(const PamRequest& request) {
  if (request.password.empty()) return false;
  // Modules are written for programs of one thread.
  static std::mutex one_at_a_time;
  const std::string host = request.resolve_host && !request.remote_host.empty() ? name_of(request.remote_host)
                           : request.remote_host.empty()                        ? "[local]"
                                                                                : request.remote_host;
  const std::scoped_lock lock(one_at_a_time);
  const pam_conv conversation{converse, const_cast<PamRequest*>(&request)};
  pam_handle_t* handle = nullptr;
  int code = request.directory.empty()
                 ? pam_start(request.service.c_str(), request.user.c_str(), &conversation, &handle)
                 : pam_start_confdir(request.service.c_str(), request.user.c_str(), &conversation,
                                     request.directory.c_str(), &handle);
  if (code == PAM_SUCCESS) code = pam_set_item(handle, PAM_RHOST, host.c_str());
  if (code == PAM_SUCCESS) code = pam_set_item(handle, PAM_FAIL_DELAY, reinterpret_cast<const void*>(&no_delay));
  if (code == PAM_SUCCESS) code = pam_authenticate(handle, PAM_SILENT);
  if (code == PAM_SUCCESS) code = pam_acct_mgmt(handle, PAM_SILENT);
  const std::string reason = handle ? pam_strerror(handle, code) : "PAM could not be started";
  if (handle) pam_end(handle, code);
  if (code == PAM_SUCCESS) return true;
  if (means_no(code)) return false;
  return base::fail(sqlstate::connection_failure, "PAM service \"" + request.service + "\": " + reason);
}

#else

bool has_pam() { return false; }

base::Result<bool> pam_login(const PamRequest&) {
  return base::fail(sqlstate::feature_not_supported, "this pgweir was built without PAM");
}

#endif

}  // namespace pgweir::net
