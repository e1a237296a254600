// Taking an execution apart; see exchange.h.
#include "session/exchange.h"

#include "wire/frame.h"

namespace pgweir::session {

namespace frontend = wire::frontend;

void Exchange::take_apart() const {
  const StatementPtr statement = std::move(execution_.statement);
  wire::Frame frame;
  for (std::size_t at = 0; wire::read_frame(bytes_.view().substr(at), frame) == wire::FrameStatus::ok;
       at += frame.bytes_here()) {
    GatheredMessage& message = messages_.emplace_back();
    message.type = frame.type;
    message.offset = at;
    message.size = frame.bytes_here();
    message.ordinary = true;
    if (frame.type != frontend::kSync) message.statement = statement;
    if (frame.type == frontend::kBind) message.name = statement->name;
    if (frame.type == frontend::kDescribe) message.what = 'P';
    if (frame.type == frontend::kExecute) message.query = statement->query.entry;
  }
}

}  // namespace pgweir::session
