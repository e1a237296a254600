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
#include "wire/frame.h"
#include "wire/scram.h"

namespace pgweir::pool {

/// That a server may report: PostgreSQL has about fifteen, and libraries may add some. A bound for memory.
inline constexpr std::size_t kMostParameters = 500;

/// One login, used once.
class ServerLogin {
 public:
  enum class Step : std::uint8_t { wait, done };

  /// `password`: absent when none is known; asked for it, the login then fails with a hint.
  ServerLogin(std::string user, std::optional<std::string> password);

  /// Takes one complete message; appends what must be answered to `out`. `done` after ReadyForQuery. An error is the
  /// server's own (its SQLSTATE and message) or says what the server asked for that cannot be given.
  [[nodiscard]] base::Result<Step> take(const wire::Frame& frame, base::ByteQueue& out);

  [[nodiscard]] std::vector<std::pair<std::string, std::string>>& parameters() { return parameters_; }
  [[nodiscard]] std::uint32_t process_id() const { return process_id_; }
  [[nodiscard]] const std::string& secret() const { return secret_; }

 private:
  base::Result<Step> after_authentication(const wire::Frame& frame);
  base::Result<Step> authenticate(std::string_view body, base::ByteQueue& out);
  base::Result<Step> start_scram(std::string_view mechanisms, base::ByteQueue& out);
  base::Result<Step> continue_scram(std::string_view data, base::ByteQueue& out);
  base::Result<Step> finish_scram(std::string_view data);

  std::string user_;
  std::optional<std::string> password_;
  std::optional<wire::ScramClient> scram_;
  std::vector<std::pair<std::string, std::string>> parameters_;
  std::uint32_t process_id_ = 0;
  std::string secret_;
  bool server_proved_itself_ = true;  ///< false while a SCRAM exchange is open
  bool authenticated_ = false;        ///< the server has said AuthenticationOk
};

}  // namespace pgweir::pool
