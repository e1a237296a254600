// A session after its login, with both peers hostile: the input says what the client and the servers say, byte by byte
// or message by message, in which pieces, and when somebody goes. Then everybody goes, and the session must end; and an
// honest client on the same worker and pool must get exactly what an honest server says.
//
// Input: a byte that chooses the configuration, then steps. A step is a byte (the low three bits: what; the next two:
// which server, the one that has heard last first; the others, unless zero: the loop does not run before the next step)
// and what belongs to it. Lengths have two bytes, little-endian, and reach no further than the input.
#include <array>
#include <memory>
#include <optional>
#include <string>

#include "base/byte_order.h"
#include "fuzz/target.h"
#include "fuzz/world.h"
#include "wire/frame.h"
#include "wire/messages/startup.h"

using namespace pgweir;
using fuzz::message;
using fuzz::text;
using fuzz::World;
using namespace std::string_view_literals;

namespace {

enum class What : std::uint8_t {
  client_message,  ///< type, length, body
  server_message,  ///< type, length, body
  server_answers,  ///< count: so many messages are answered honestly; 0: all
  client_bytes,    ///< length, bytes
  server_bytes,    ///< length, bytes
  event,           ///< which one
  client_query,    ///< length, a text
  client_execution,
};

enum class Event : std::uint8_t { client_ends, client_closes, server_closes, cancel, standby_down, standby_up, wait };
constexpr std::uint8_t kEvents = 7;

class Input {
 public:
  explicit Input(std::string_view bytes) : rest_(bytes) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return value;
  }
  std::string_view bytes() {
    const std::size_t low = byte(), high = byte();
    const auto taken = rest_.substr(0, low + high * 256);
    rest_.remove_prefix(taken.size());
    return taken;
  }

 private:
  std::string_view rest_;
};

World& world(std::uint8_t choice) {
  struct Choice {
    World::Nodes nodes;
    std::string_view more;
  };
  static constexpr std::array kChoices{
      Choice{World::Nodes::primary_only, "pool: {mode: transaction, size: 2}\n"},
      Choice{World::Nodes::with_standby, "pool: {mode: transaction, size: 2}\n"},
      Choice{World::Nodes::primary_only, "pool: {mode: session, size: 2}\n"},
      Choice{World::Nodes::with_standby, "pool: {mode: statement, size: 2}\nrouting: {balance: session}\n"},
      Choice{World::Nodes::primary_only, "pool: {mode: transaction, size: 3, listen: shared}\n"},
      Choice{World::Nodes::with_standby, "pool: {mode: transaction, size: 2}\nrouting: {consistency: eventual}\n"},
  };
  static std::array<World*, kChoices.size()> made{};
  World*& one = made[choice % made.size()];
  if (!one) one = new World(kChoices[choice % made.size()].nodes, kChoices[choice % made.size()].more);
  return *one;
}

std::string login() {
  base::ByteQueue out;
  wire::encode_startup(out, "u", "d", {{"application_name", "fuzz"}});
  return std::string(out.view());
}

std::string execution(std::string_view statement, std::string_view name) {
  return message('P', text(name) + text(statement) + std::string(2, '\0')) +
         message('B', text("") + text(name) + std::string(6, '\0')) + message('D', "P\0"sv) +
         message('E', std::string(5, '\0')) + message('S', "");
}

/// A client and what it has heard.
class Client {
 public:
  explicit Client(World& world) : world_(world), socket_(world.connect_client()) {
    send(login());
    FUZZ_CHECK(world_.settle([this] { return heard_type('Z'); }));
    const auto key = heard_.find("K\0\0\0\x0c"sv);
    FUZZ_CHECK(key != std::string::npos);
    key_ = heard_.substr(key + wire::kHeaderBytes, 8);
    heard_.clear();
  }
  void send(std::string_view bytes) const {
    fuzz::trace("from client:", bytes);
    socket_.send(bytes);
  }
  void end_sending() const { socket_.end_sending(); }
  void close() { socket_.close(); }
  void listen() {
    if (socket_.is_open() && !socket_.receive(heard_)) socket_.close();
  }
  [[nodiscard]] const std::string& key() const { return key_; }

  /// Whether the last message that has come in full is of this type. All must be well formed.
  bool heard_type(char type) {
    listen();
    char last = '\0';
    for_each_message([&](const wire::Frame& frame) { last = frame.type; });
    return last == type;
  }
  template <class See>
  void for_each_message(See see) const {
    std::string_view rest = heard_;
    wire::Frame frame;
    for (;;) {
      const auto status = wire::read_frame(rest, frame);
      FUZZ_CHECK(status != wire::FrameStatus::invalid);
      if (status != wire::FrameStatus::ok || !frame.complete()) return;
      FUZZ_CHECK("RSKZENAv123tTnDCIsGHWdcV"sv.find(frame.type) != std::string_view::npos);
      see(frame);
      rest.remove_prefix(frame.bytes_here());
    }
  }
  /// Without what may come at any time.
  [[nodiscard]] std::string answers() const {
    std::string all;
    for_each_message([&](const wire::Frame& frame) {
      if ("SNA"sv.find(frame.type) == std::string_view::npos) all += wire::raw(frame);
    });
    return all;
  }
  std::string ask(std::string_view bytes) {
    heard_.clear();
    send(bytes);
    FUZZ_CHECK(world_.settle([this] { return heard_type('Z'); }));
    return answers();
  }

 private:
  World& world_;
  fuzz::Socket socket_;
  std::string heard_, key_;
};

void send_cancel(World& there, const std::string& key) {
  const fuzz::Socket socket = there.connect_client();
  socket.send(std::string("\0\0\0\x10\x04\xd2\x16\x2e"sv) + key);
  there.pass(3);
}

/// What the hostile ones do; returns whether the servers have told no lie.
bool play(World& there, Client& client, Input input) {
  constexpr std::size_t kMostSteps = 400;
  bool honest = true;
  for (std::size_t step = 0; step < kMostSteps && !input.empty(); ++step) {
    const std::uint8_t head = input.byte();
    const auto server = [&] { return there.server(head >> 3U & 3U); };
    const auto lie = [&](std::string_view bytes) {
      honest = false;
      if (auto* one = server()) one->say(bytes);
    };
    switch (static_cast<What>(head & 7U)) {
      case What::client_message: {
        const char type = static_cast<char>(input.byte());
        client.send(message(type, input.bytes()));
        break;
      }
      case What::server_message: {
        const char type = static_cast<char>(input.byte());
        lie(message(type, input.bytes()));
        break;
      }
      case What::server_answers: {
        const std::size_t count = input.byte();
        if (auto* one = server()) one->say(one->model.answer(count == 0 ? SIZE_MAX : count));
        break;
      }
      case What::client_bytes: client.send(input.bytes()); break;
      case What::server_bytes: lie(input.bytes()); break;
      case What::client_query: client.send(message('Q', text(input.bytes()))); break;
      case What::client_execution: client.send(execution(input.bytes(), {})); break;
      case What::event:
        switch (static_cast<Event>(input.byte() % kEvents)) {
          case Event::client_ends: client.end_sending(); break;
          case Event::client_closes: client.close(); break;
          case Event::server_closes:
            if (auto* one = server()) one->socket.close();
            break;
          case Event::cancel: send_cancel(there, client.key()); break;
          case Event::standby_down: there.set_standby_up(false); break;
          case Event::standby_up: there.set_standby_up(true); break;
          case Event::wait: there.pass(2); break;
        }
        break;
    }
    if ((head >> 5U) == 0) {
      there.pass(2);
      client.listen();
    }
  }
  there.pass(2);
  client.listen();
  return honest;
}

/// Nothing of what was before may be in these answers.
void check_next_client(World& there) {
  Client client(there);
  const auto answer_to = [](std::string_view statement, bool extended) {
    fuzz::HonestServer model;
    model.receive(login());
    (void)model.answer(1);
    model.receive(extended ? execution(statement, {}) : message('Q', text(statement)));
    return model.answer(SIZE_MAX);
  };
  for (const auto statement : {"SELECT 'honest one'"sv, "UPDATE t SET a = 1"sv, "SELECT a FROM t WHERE a = 4711"sv}) {
    FUZZ_CHECK(client.ask(message('Q', text(statement))) == answer_to(statement, false));
    FUZZ_CHECK(client.ask(execution(statement, {})) == answer_to(statement, true));
    FUZZ_CHECK(client.ask(execution(statement, statement)) == answer_to(statement, true));
  }
  client.send(message('X', ""));
  client.close();
}

/// No session is left, and no connection is in use or waited for.
void check_all_is_over(World& there) {
  if (there.settle([&] { return there.sessions() == 0 && there.leased() == 0; })) return;
  std::fprintf(stderr, "%s\n", there.state().c_str());
  FUZZ_CHECK(there.sessions() == 0 && there.leased() == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(fuzz::text(data, size));
  World& there = world(input.byte());
  bool honest = true;
  {
    Client client(there);
    honest = play(there, client, input);
    // The whole of what an honest server has said is well formed on its way to the client, too.
    if (honest) (void)client.answers();
    client.close();
  }
  there.set_standby_up(true);
  if (!honest) there.close_servers();
  check_all_is_over(there);
  check_next_client(there);
  check_all_is_over(there);
  there.close_servers();
  there.pass(2);
  return 0;
}
