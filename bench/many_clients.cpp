// Thousands of clients in one thread: opens connections, keeps them, and lets them run statements. One epoll loop and a
// few bytes per client, so that on a shared machine the clients take little from what is measured.
//
// usage: many_clients PORT CLIENTS, then one command per line on standard input, one answer per line on standard
// output:
//   each WIDTH STATEMENT           every client runs it once, WIDTH clients at a time      -> "done"
//   load WARM SECONDS STATEMENT    every client runs it again and again, all at once       -> a JSON object
// The first answer, "open", comes when all are logged in. Anything unexpected (an error, a connection that ends) is
// told on standard error and ends the program with status 1: there are no numbers from runs with errors.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

[[noreturn]] void fail(const std::string& what) {
  std::cerr << "many_clients: " << what << std::endl;
  std::exit(1);
}

void append_number(std::string& bytes, std::uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>((number >> shift) & 0xff));
}

std::string startup_message() {
  constexpr std::uint32_t kProtocol30 = 196608;
  constexpr std::string_view kParameters{"user\0postgres\0database\0test\0\0", 29};
  std::string bytes;
  append_number(bytes, static_cast<std::uint32_t>(8 + kParameters.size()));
  append_number(bytes, kProtocol30);
  return bytes.append(kParameters);
}

std::string query_message(const std::string& text) {
  std::string bytes = "Q";
  append_number(bytes, static_cast<std::uint32_t>(4 + text.size() + 1));
  return bytes.append(text).append(1, '\0');
}

/// Takes the server's messages apart, however they are split, and keeps nothing but where it stands.
struct Client {
  int fd = -1;
  std::array<unsigned char, 5> header{};
  std::uint8_t header_bytes = 0;
  std::uint32_t body_left = 0;
  Time since{};                  ///< when the statement that runs was sent
  std::uint32_t statements = 0;  ///< that count

  /// Whether ReadyForQuery has come.
  bool take(std::string_view bytes) {
    bool ready = false;
    while (!bytes.empty()) {
      if (body_left > 0) {
        const auto used = std::min<std::size_t>(body_left, bytes.size());
        bytes.remove_prefix(used);
        body_left -= static_cast<std::uint32_t>(used);
        continue;
      }
      header[header_bytes++] = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      if (header_bytes < header.size()) continue;
      header_bytes = 0;
      const std::uint32_t length = std::uint32_t{header[1]} << 24 | std::uint32_t{header[2]} << 16 |
                                   std::uint32_t{header[3]} << 8 | std::uint32_t{header[4]};
      if (length < 4) fail("a message with a length below 4");
      body_left = length - 4;
      if (header[0] == 'E') fail("an error: " + printable(bytes));
      if (header[0] == 'Z') ready = true;
      if (header[0] == 'R' && bytes.size() >= 4 && bytes.substr(0, 4) != std::string_view("\0\0\0\0", 4))
        fail("a login that asks for more than trust");
    }
    return ready;
  }

  static std::string printable(std::string_view bytes) {
    std::string text(bytes.substr(0, 300));
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c < ' '; }, ' ');
    return text;
  }
};

/// In microseconds, by the second in which the statement ended.
using Latencies = std::vector<std::vector<std::uint32_t>>;

class Clients {
 public:
  Clients(std::uint16_t port, std::size_t count) : port_(port), clients_(count), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    constexpr std::size_t kAtOnce = 64;
    const std::string hello = startup_message();
    in_turns(kAtOnce, [&](Client& client) {
      connect(client);
      send(client, hello);
    });
  }

  void each(std::size_t width, const std::string& statement) {
    const std::string query = query_message(statement);
    in_turns(width, [&](Client& client) { send(client, query); });
  }

  /// The statements that begin and end between `from` and `until`.
  Latencies load(Time from, Time until, const std::string& statement) {
    const std::string query = query_message(statement);
    Latencies latencies(static_cast<std::size_t>((until - from) / std::chrono::seconds(1)) + 1);
    std::size_t under_way = clients_.size();
    for (Client& client : clients_) {
      client.statements = 0;
      client.since = Clock::now();
      send(client, query);
    }
    while (under_way > 0) {
      pass([&](Client& client) {
        const Time now = Clock::now();
        if (client.since >= from && now <= until) {
          const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now - client.since);
          latencies[static_cast<std::size_t>((now - from) / std::chrono::seconds(1))].push_back(
              static_cast<std::uint32_t>(took.count()));
          ++client.statements;
        }
        client.since = now;
        if (now < until)
          send(client, query);
        else
          --under_way;
      });
    }
    return latencies;
  }

  [[nodiscard]] const std::vector<Client>& all() const { return clients_; }

 private:
  /// Begins with `width` clients, and with another one whenever one is ready.
  void in_turns(std::size_t width, const std::function<void(Client&)>& begin) {
    std::size_t begun = 0, ready = 0;
    while (begun < std::min(width, clients_.size())) begin(clients_[begun++]);
    while (ready < clients_.size()) {
      pass([&](Client&) {
        ++ready;
        if (begun < clients_.size()) begin(clients_[begun++]);
      });
    }
  }

  void connect(Client& client) {
    client.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client.fd < 0) fail(std::string("socket: ") + std::strerror(errno));
    // A loopback address of its own for every 10,000: no range of ports is too small then.
    const auto index = static_cast<std::uint32_t>(&client - clients_.data());
    const int on = 1;
    setsockopt(client.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in own = address(INADDR_LOOPBACK + index / 10'000, 0), there = address(INADDR_LOOPBACK, port_);
    if (bind(client.fd, reinterpret_cast<sockaddr*>(&own), sizeof own) < 0 ||
        ::connect(client.fd, reinterpret_cast<sockaddr*>(&there), sizeof there) < 0)
      fail("connection " + std::to_string(index + 1) + ": " + std::strerror(errno));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = index;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, client.fd, &event) < 0)
      fail(std::string("epoll_ctl: ") + std::strerror(errno));
  }

  static sockaddr_in address(std::uint32_t host, std::uint16_t port) {
    sockaddr_in result{};
    result.sin_family = AF_INET;
    result.sin_addr.s_addr = htonl(host);
    result.sin_port = htons(port);
    return result;
  }

  /// Never more than one message at a time is on its way, so that there is always room for it.
  static void send(const Client& client, std::string_view bytes) {
    if (::send(client.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()))
      fail(std::string("send: ") + std::strerror(errno));
  }

  /// Waits until something has come; calls `on_ready` for each client that is ready now.
  template <typename OnReady>
  void pass(const OnReady& on_ready) {
    constexpr int kPatienceMilliseconds = 60'000;
    std::array<epoll_event, 64> events{};
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), kPatienceMilliseconds);
    if (count == 0) fail("nothing has come for a minute");
    for (int i = 0; i < count; ++i) {
      Client& client = clients_[events[static_cast<std::size_t>(i)].data.u32];
      std::array<char, 8192> buffer;
      const ssize_t got = recv(client.fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) fail(got == 0 ? "a connection was closed" : std::string("recv: ") + std::strerror(errno));
      if (client.take({buffer.data(), static_cast<std::size_t>(got)})) on_ready(client);
    }
  }

  std::uint16_t port_;
  std::vector<Client> clients_;
  int epoll_;
};

double own_cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

std::uint32_t percentile(std::vector<std::uint32_t>& values, double part) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(part * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

/// p99/p50 of the second that is in the middle when they are sorted by that: what a machine that becomes slower and
/// faster does to the whole time does not show here.
double ratio_within_a_second(Latencies& by_second) {
  constexpr std::size_t kEnough = 100;
  std::vector<double> ratios;
  for (auto& second : by_second)
    if (second.size() >= kEnough)
      ratios.push_back(static_cast<double>(percentile(second, 0.99)) / static_cast<double>(percentile(second, 0.5)));
  if (ratios.empty()) fail("too few statements to tell how evenly they wait");
  const auto middle = ratios.begin() + static_cast<std::ptrdiff_t>(ratios.size() / 2);
  std::nth_element(ratios.begin(), middle, ratios.end());
  return *middle;
}

void run_load(Clients& clients, double warm, double seconds, const std::string& statement) {
  const auto in = [](double s) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
  };
  const Time from = Clock::now() + in(warm);
  const double cpu = own_cpu_seconds();
  Latencies by_second = clients.load(from, from + in(seconds), statement);
  const double ratio = ratio_within_a_second(by_second);
  std::vector<std::uint32_t> all;
  for (const auto& second : by_second) all.insert(all.end(), second.begin(), second.end());
  const auto [least, most] =
      std::minmax_element(clients.all().begin(), clients.all().end(),
                          [](const Client& one, const Client& other) { return one.statements < other.statements; });
  std::cout << "{\"statements\": " << all.size() << ", \"p50_us\": " << percentile(all, 0.5)
            << ", \"p99_us\": " << percentile(all, 0.99) << ", \"max_us\": " << percentile(all, 1)
            << ", \"ratio_within_a_second\": " << ratio << ", \"least\": " << least->statements
            << ", \"most\": " << most->statements << ", \"cpu_seconds\": " << own_cpu_seconds() - cpu << "}"
            << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) fail("usage: many_clients PORT CLIENTS");
  const auto port = static_cast<std::uint16_t>(std::strtoul(argv[1], nullptr, 10));
  const std::size_t count = std::strtoul(argv[2], nullptr, 10);
  if (port == 0 || count == 0) fail("PORT and CLIENTS are numbers above 0");
  Clients clients(port, count);
  std::cout << "open" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command, statement;
    words >> command;
    if (command == "each") {
      std::size_t width = 0;
      words >> width;
      std::getline(words >> std::ws, statement);
      clients.each(std::max<std::size_t>(width, 1), statement);
      std::cout << "done" << std::endl;
    } else if (command == "load") {
      double warm = 0, seconds = 0;
      words >> warm >> seconds;
      std::getline(words >> std::ws, statement);
      run_load(clients, warm, seconds, statement);
    } else {
      fail("unknown command '" + command + "'");
    }
  }
  return 0;
}
