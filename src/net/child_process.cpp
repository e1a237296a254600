// Child processes by libuv; see child_process.h. Two handles live and close each by itself: the process and the pipe
// that it writes to; each keeps the state until its close callback.
#include "net/child_process.h"

#include <unistd.h>
#include <uv.h>

#include <array>
#include <csignal>
#include <utility>

#include "net/loop.h"
#include "net/timer.h"

namespace pgweir::net {

namespace {
constexpr std::chrono::seconds kPatienceAfterSigterm{1};
}  // namespace

struct ChildProcess::State : std::enable_shared_from_this<State> {
  State(Loop& loop, OnLine to_tell, OnEnd to_end)
      : on_line(std::move(to_tell)),
        on_end(std::move(to_end)),
        timer(std::make_unique<Timer>(loop, [this] { on_time(); })) {}

  OnLine on_line;
  OnEnd on_end;
  std::unique_ptr<Timer> timer;
  uv_process_t process{};
  uv_pipe_t pipe{};
  std::array<char, 4096> buffer{};
  std::string line;
  ChildEnd end;
  bool runs = false;
  bool reads = false;
  // Each open handle owns the state.
  std::shared_ptr<State> owner_process, owner_pipe;

  base::Result<bool> spawn(uv_loop_t* loop, const std::string& command);
  void on_time();
  void on_exit(std::int64_t status, int signal);
  void on_read(ssize_t count);
  void tell_line();
  void close_pipe();
  void end_group(int number) const {
    if (runs) ::kill(-process.pid, number);
  }
};

base::Result<bool> ChildProcess::State::spawn(uv_loop_t* loop, const std::string& command) {
  std::array<uv_file, 2> ends{};
  if (const int code = uv_pipe(ends.data(), UV_NONBLOCK_PIPE, 0); code != 0)
    return base::fail(base::sqlstate::internal_error, "no pipe for a command: " + std::string(uv_strerror(code)));
  // Whatever some library may have left open without the flag is not the command's.
  ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  std::string shell = "/bin/sh", option = "-c", text = command;
  std::array<char*, 4> arguments{shell.data(), option.data(), text.data(), nullptr};
  std::array<uv_stdio_container_t, 3> stdio{};
  stdio[0].flags = UV_IGNORE;
  stdio[1].flags = stdio[2].flags = UV_INHERIT_FD;
  stdio[1].data.fd = stdio[2].data.fd = ends[1];
  uv_process_options_t options{};
  options.file = shell.c_str();
  options.args = arguments.data();
  options.flags = UV_PROCESS_DETACHED;  // a session, and so a group, of its own
  options.stdio_count = stdio.size();
  options.stdio = stdio.data();
  options.exit_cb = [](uv_process_t* handle, std::int64_t status, int signal) {
    static_cast<State*>(handle->data)->on_exit(status, signal);
  };
  process.data = pipe.data = this;
  const int code = uv_spawn(loop, &process, &options);
  ::close(ends[1]);
  owner_process = shared_from_this();
  runs = code == 0;
  if (!runs) {
    ::close(ends[0]);
    uv_close(reinterpret_cast<uv_handle_t*>(&process),
             [](uv_handle_t* closed) { static_cast<State*>(closed->data)->owner_process.reset(); });
    return base::fail(base::sqlstate::internal_error, "/bin/sh did not start: " + std::string(uv_strerror(code)));
  }
  uv_pipe_init(loop, &pipe, 0);
  owner_pipe = owner_process;
  reads = uv_pipe_open(&pipe, ends[0]) == 0 && uv_read_start(
                                                   reinterpret_cast<uv_stream_t*>(&pipe),
                                                   [](uv_handle_t* handle, std::size_t, uv_buf_t* out) {
                                                     auto& room = static_cast<State*>(handle->data)->buffer;
                                                     *out =
                                                         uv_buf_init(room.data(), static_cast<unsigned>(room.size()));
                                                   },
                                                   [](uv_stream_t* stream, ssize_t count, const uv_buf_t*) {
                                                     static_cast<State*>(stream->data)->on_read(count);
                                                   }) == 0;
  if (!reads) close_pipe();
  return true;
}

void ChildProcess::State::on_time() {
  end_group(end.timed_out ? SIGKILL : SIGTERM);
  if (!std::exchange(end.timed_out, true)) timer->start(kPatienceAfterSigterm);
}

void ChildProcess::State::on_exit(std::int64_t status, int signal) {
  const auto self = shared_from_this();
  // Those of its group that are left have had their time as well.
  if (end.timed_out) end_group(SIGKILL);
  runs = false;
  timer.reset();
  end.status = static_cast<int>(status);
  end.signal = signal;
  // What it has written is here; who has inherited its output from it may keep that open for ever.
  uv_os_fd_t fd = -1;
  while (reads && uv_fileno(reinterpret_cast<uv_handle_t*>(&pipe), &fd) == 0) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count <= 0) break;
    on_read(count);
  }
  tell_line();
  close_pipe();
  uv_close(reinterpret_cast<uv_handle_t*>(&process),
           [](uv_handle_t* closed) { static_cast<State*>(closed->data)->owner_process.reset(); });
  if (const auto then = std::exchange(on_end, nullptr)) then(end);
}

void ChildProcess::State::on_read(ssize_t count) {
  if (count < 0) return close_pipe();
  for (ssize_t i = 0; i < count; ++i) {
    const char c = buffer[static_cast<std::size_t>(i)];
    if (c == '\n' || line.size() == kLongestLine) tell_line();
    if (c != '\n') line += c;
  }
}

void ChildProcess::State::tell_line() {
  const std::string one = std::exchange(line, {});
  if (!one.empty() && on_line) on_line(one);
}

void ChildProcess::State::close_pipe() {
  reads = false;
  auto* handle = reinterpret_cast<uv_handle_t*>(&pipe);
  if (!owner_pipe || uv_is_closing(handle)) return;
  uv_close(handle, [](uv_handle_t* closed) { static_cast<State*>(closed->data)->owner_pipe.reset(); });
}

ChildProcess::ChildProcess(Loop& loop, OnLine on_line, OnEnd on_end)
    : loop_(loop), state_(std::make_shared<State>(loop, std::move(on_line), std::move(on_end))) {}

ChildProcess::~ChildProcess() {
  state_->on_line = nullptr;
  state_->on_end = nullptr;
  state_->timer.reset();
  state_->end_group(SIGKILL);
  if (state_->reads) state_->close_pipe();
}

base::Result<bool> ChildProcess::start(const std::string& command, base::Duration time_limit) {
  auto started = state_->spawn(loop_.uv(), command);
  if (started) state_->timer->start(time_limit);
  return started;
}

}  // namespace pgweir::net
