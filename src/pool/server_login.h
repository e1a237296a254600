// Logging in to a server: authentication and the messages up to the first ReadyForQuery. Pure: frames in, bytes out.
// Source: PostgreSQL documentation, "Message Flow", Start-up.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_queue.h"
#include "base/result.h"
#include "base/secret_text.h"
#include "wire/frame.h"
#include "wire/scram.h"

namespace pgweir::pool {

/// What is known for logging in to a server as some user. Of several the first one that the server takes is used.
struct ServerCredentials {
  base::SecretText password{};  ///< empty: not known
  base::SecretText md5{};       ///< "md5" and 32 digits, enough where the server asks for MD5; empty: not known
  std::optional<wire::ScramKeys> keys{};  ///< of a client that has proved that it knows the password
};
/// That a server may report: PostgreSQL has about fifteen, and libraries may add some. A bound for memory.
inline constexpr std::size_t kMostParameters = 500;

/// One login, used once.
class ServerLogin {
 public:
  enum class Step : std::uint8_t { wait, done };

  /// Asked for something that `credentials` do not have, the login fails with a hint.
  ServerLogin(std::string user, ServerCredentials credentials);
  /// The connection is encrypted, and this is the hash of the server's certificate (tls-server-end-point). Before the
  /// first `take`. SCRAM then binds to it if the server offers that.
  void bind_to(std::string end_point) { end_point_ = std::move(end_point); }

  /// The same login, for another attempt, before the server has asked for anything. This one is over.
  [[nodiscard]] ServerLogin again() { return {user_, std::move(credentials_)}; }
  /// Takes one complete message; appends what must be answered to `out`. `done` after ReadyForQuery. An error is the
  /// server's own (its SQLSTATE and message) or says what the server asked for that cannot be given.
  [[nodiscard]] base::Result<Step> take(const wire::Frame& frame, base::ByteQueue& out);

  [[nodiscard]] std::vector<std::pair<std::string, std::string>>& parameters() { return parameters_; }
  [[nodiscard]] bool authenticated() const { return authenticated_; }
  [[nodiscard]] std::uint32_t process_id() const { return process_id_; }
  [[nodiscard]] const std::string& secret() const { return secret_; }

 private:
  base::Result<Step> after_authentication(const wire::Frame& frame);
  base::Result<Step> authenticate(std::string_view body, base::ByteQueue& out);
  base::Result<Step> answer_md5(std::string_view salt, base::ByteQueue& out);
  [[nodiscard]] base::Failure nothing_known(std::string_view asked_for) const;
  base::Result<Step> start_scram(std::string_view mechanisms, base::ByteQueue& out);
  base::Result<Step> continue_scram(std::string_view data, base::ByteQueue& out);
  base::Result<Step> finish_scram(std::string_view data);

  std::string user_;
  ServerCredentials credentials_;
  std::string end_point_;
  std::optional<wire::ScramClient> scram_;
  std::vector<std::pair<std::string, std::string>> parameters_;
  std::uint32_t process_id_ = 0;
  std::string secret_;
  bool server_proved_itself_ = true;  ///< false while a SCRAM exchange is open
  bool authenticated_ = false;        ///< the server has said AuthenticationOk
};

}  // namespace pgweir::pool
