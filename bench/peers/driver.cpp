#include "driver.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <iostream>
#include <numeric>
#include <stdexcept>

#include "block_bytes.hpp"

namespace kvferry::peers {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
using Ids = std::vector<std::uint32_t>;

class Server {
 public:
  explicit Server(Contestant& contestant) : contestant_(contestant) {}

  json answer(const json& command) {
    const std::string name = command.at("cmd");
    if (name == "setup") return setup(command);
    if (name == "connect") return connect(command);
    if (name == "case") return choose(command);
    if (name == "clear") return clear();
    if (name == "write") return write(command);
    if (name == "check") return check(command);
    if (name == "round") return round(command);
    throw std::runtime_error("unknown command " + name);
  }

 private:
  json setup(const json& command) {
    geometry_ = {command.at("device"), command.at("layers"), command.at("blocks"),
                 command.at("block_bytes")};
    if (geometry_.block_bytes % 8 != 0) throw std::runtime_error("block_bytes: a multiple of 8");
    json settings = json::object();
    json address = contestant_.own(geometry_, command.at("options"), settings);
    return {{"address", std::move(address)}, {"settings", std::move(settings)}};
  }

  json connect(const json& command) {
    contestant_.connect(command.at("address"));
    return json::object();
  }

  json choose(const json& command) {
    const Work work{command.at("direction") == "pull", command.at("local").get<Ids>(),
                    command.at("remote").get<Ids>()};
    for (const Ids& ids : {work.local, work.remote}) require_in_range(ids);
    if (work.local.size() != work.remote.size()) throw std::runtime_error("ids: other lengths");
    contestant_.choose(work);
    return json::object();
  }

  json clear() {
    for (std::uint32_t l = 0; l < geometry_.layers; ++l) {
      // With a stride the gaps between blocks are not ours.
      if (contestant_.block_stride() == geometry_.block_bytes) {
        set_bytes(geometry_.device, contestant_.layer(l), kUntouched, geometry_.layer_bytes());
        continue;
      }
      for (std::uint32_t b = 0; b < geometry_.blocks; ++b) {
        set_bytes(geometry_.device, block(l, b), kUntouched, geometry_.block_bytes);
      }
    }
    return json::object();
  }

  json write(const json& command) {
    const auto ids = command.at("ids").get<Ids>();
    require_in_range(ids);
    std::vector<std::uint64_t> words(geometry_.block_bytes / 8);
    for (std::uint32_t l = 0; l < geometry_.layers; ++l) {
      for (const std::uint32_t id : ids) {
        make_content(command.at("seed"), l, id, words);
        copy_in(geometry_.device, block(l, id), words.data(), geometry_.block_bytes);
      }
    }
    return json::object();
  }

  // ids[i] must look as block as[i] that write() made; the blocks of `untouched` as clear() left
  // them.
  json check(const json& command) {
    const auto ids = command.at("ids").get<Ids>(), as = command.at("as").get<Ids>();
    const auto untouched = command.at("untouched").get<Ids>();
    require_in_range(ids);
    require_in_range(untouched);
    std::vector<std::uint64_t> found(geometry_.block_bytes / 8), wanted(found.size());
    std::uint64_t wrong = 0;
    for (std::uint32_t l = 0; l < geometry_.layers; ++l) {
      for (std::size_t i = 0; i < ids.size(); ++i) {
        make_content(command.at("seed"), l, as.at(i), wanted);
        copy_out(geometry_.device, found.data(), block(l, ids[i]), geometry_.block_bytes);
        wrong += wrong_bytes(found, wanted);
      }
      std::ranges::fill(wanted, 0x0101010101010101ull * kUntouched);
      for (const std::uint32_t id : untouched) {
        copy_out(geometry_.device, found.data(), block(l, id), geometry_.block_bytes);
        wrong += wrong_bytes(found, wanted);
      }
    }
    return {{"wrong_bytes", wrong}};
  }

  json round(const json& command) {
    const int transfers = command.at("transfers");
    const double limit_s = command.at("limit_s");
    std::vector<double> seconds;
    // One at least, whatever it takes.
    while (seconds.empty() || (seconds.size() < static_cast<std::size_t>(transfers) &&
                               std::accumulate(seconds.begin(), seconds.end(), 0.0) < limit_s)) {
      const auto start = Clock::now();
      contestant_.transfer();
      seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    return {{"seconds", seconds}, {"method", contestant_.method()}};
  }

  void require_in_range(const Ids& ids) const {
    if (std::ranges::any_of(ids, [&](auto id) { return id >= geometry_.blocks; })) {
      throw std::runtime_error("ids: beyond the pool");
    }
  }
  std::byte* block(std::uint32_t layer, std::uint32_t id) const {
    return contestant_.layer(layer) + id * contestant_.block_stride();
  }

  Contestant& contestant_;
  Geometry geometry_;
};

}  // namespace

int serve(Contestant& contestant) {
  Server server(contestant);
  for (std::string line; std::getline(std::cin, line);) {
    json answer = json::object();
    bool closing = false;
    try {
      const json command = json::parse(line);
      closing = command.at("cmd") == "close";
      if (!closing) answer = server.answer(command);
      answer["ok"] = true;
    } catch (const std::exception& error) {
      answer = {{"ok", false}, {"error", error.what()}};
    }
    std::cout << answer.dump() << '\n' << std::flush;
    if (closing) break;
  }
  return 0;
}

}  // namespace kvferry::peers
