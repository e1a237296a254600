// Cutting a stream of messages into frames: small rows, and the pair of messages that answers a short query.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/byte_queue.h"
#include "wire/frame.h"

namespace pgweir::bench {
namespace {

std::string rows_of(int count, std::size_t size) {
  base::ByteQueue out;
  const std::string body(size, 'x');
  for (int i = 0; i < count; ++i) wire::FrameWriter(out, 'D').bytes(body);
  return std::string(out.view());
}

void read_frames(benchmark::State& state) {
  const std::string bytes = rows_of(512, static_cast<std::size_t>(state.range(0)));
  std::int64_t frames = 0;
  for (auto _ : state) {
    std::string_view rest = bytes;
    wire::Frame frame;
    while (wire::read_frame(rest, frame) == wire::FrameStatus::ok) {
      benchmark::DoNotOptimize(frame);
      rest.remove_prefix(frame.bytes_here());
      ++frames;
    }
  }
  state.SetItemsProcessed(frames);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
}
BENCHMARK(read_frames)->Arg(6)->Arg(32)->Arg(100)->Arg(1000);

void write_frame(benchmark::State& state) {
  base::ByteQueue out;
  for (auto _ : state) {
    wire::FrameWriter(out, 'Z').byte('I');
    benchmark::DoNotOptimize(out.view().data());
    out.clear();
  }
}
BENCHMARK(write_frame);

}  // namespace
}  // namespace pgweir::bench
