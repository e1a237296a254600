// One cancel request on its way; see cancel.h.
#include "pool/cancel.h"

#include <utility>

#include "wire/messages/startup.h"

namespace pgweir::pool {

CancelCarrier::CancelCarrier(net::Loop& loop, const net::Endpoint& endpoint, std::uint32_t process_id,
                             std::string secret, base::Duration timeout, std::function<void()> on_done,
                             std::optional<ServerTls> tls)
    : process_id_(process_id),
      secret_(std::move(secret)),
      tls_(std::move(tls)),
      on_done_(std::move(on_done)),
      timer_(loop, [this] { finish(); }),
      connector_(loop, endpoint, timeout, [this, &loop](base::Result<int> fd) {
        if (!fd) return finish();
        connection_ = std::make_unique<net::Connection>(loop, *fd, static_cast<net::Connection::Handler&>(*this));
        if (tls_)
          wire::encode_ssl_request(connection_->output());
        else
          say_cancel();
      }) {
  timer_.start(timeout);
}

void CancelCarrier::say_cancel() { wire::encode_cancel_request(connection_->output(), process_id_, secret_); }

/// The only word that is expected is the answer to SSLRequest.
std::size_t CancelCarrier::on_data(net::Connection& connection, std::string_view bytes) {
  if (!tls_ || connection.tls() != nullptr) return bytes.size();
  if (bytes.front() != 'S') {
    finish();
    return bytes.size();
  }
  connection.start_tls(tls_->context->connect(tls_->expected), net::Connection::Early::forbidden);
  return 1;
}

void CancelCarrier::on_secured(net::Connection&) { say_cancel(); }

void CancelCarrier::on_end(net::Connection&, std::string_view) { finish(); }

void CancelCarrier::finish() {
  connection_.reset();
  timer_.stop();
  if (auto done = std::exchange(on_done_, nullptr)) done();
}

}  // namespace pgweir::pool
