// One cancel request on its way; see cancel.h.
#include "pool/cancel.h"

#include <utility>

#include "wire/messages/startup.h"

namespace pgweir::pool {

CancelCarrier::CancelCarrier(net::Loop& loop, const net::Endpoint& endpoint, std::uint32_t process_id,
                             std::string secret, base::Duration timeout, std::function<void()> on_done)
    : on_done_(std::move(on_done)),
      timer_(loop, [this] { finish(); }),
      connector_(loop, endpoint, timeout, [this, &loop, process_id, secret = std::move(secret)](base::Result<int> fd) {
        if (!fd) return finish();
        connection_ = std::make_unique<net::Connection>(loop, *fd, static_cast<net::Connection::Handler&>(*this));
        wire::encode_cancel_request(connection_->output(), process_id, secret);
      }) {
  timer_.start(timeout);
}

std::size_t CancelCarrier::on_data(net::Connection&, std::string_view bytes) { return bytes.size(); }

void CancelCarrier::on_end(net::Connection&, std::string_view) { finish(); }

void CancelCarrier::finish() {
  connection_.reset();
  timer_.stop();
  if (auto done = std::exchange(on_done_, nullptr)) done();
}

}  // namespace pgweir::pool
