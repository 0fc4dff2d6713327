#include "bench/worker_spec.hpp"

#include <gmock/gmock.h>

#include <string>

#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

WorkerSpec a_spec() {
  WorkerSpec spec;
  spec.device = "host";
  spec.addresses = {"unix:/tmp/a b.sock", "unix:/tmp/\"c\".sock"};
  spec.server_blocks = 512;
  spec.pool_blocks = 102;
  spec.moved = 64;
  spec.first = 8;
  spec.clients = 8;
  spec.direction = Direction::push;
  spec.begin = 256;
  spec.end = 512;
  return spec;
}

std::string with(std::string line, const std::string& from, const std::string& to) {
  const std::size_t at = line.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return line.replace(at, from.size(), to);
}

std::string why_not(const std::string& line) {
  try {
    parse_worker_spec(line);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "";
}

TEST(WorkerSpec, there_and_back) {
  const std::string line = to_line(a_spec());
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(parse_worker_spec(line), a_spec());
}

TEST(WorkerSpec, what_is_wrong_is_named) {
  const std::string line = to_line(a_spec());
  EXPECT_THAT(why_not("{"), testing::HasSubstr("not a JSON object"));
  EXPECT_THAT(why_not("[]"), testing::HasSubstr("not a JSON object"));
  EXPECT_THAT(why_not("{}"), testing::HasSubstr("device is missing"));
  EXPECT_THAT(why_not(with(line, "\"host\"", "7")), testing::HasSubstr("device"));
  EXPECT_THAT(why_not(with(line, "\"moved\":64", "\"moved\":-1")), testing::HasSubstr("moved"));
  EXPECT_THAT(why_not(with(line, "\"moved\":64", "\"moved\":4294967296")),
              testing::HasSubstr("moved"));
  EXPECT_THAT(why_not(with(line, "\"moved\":64", "\"moved\":103")), testing::HasSubstr("moved"));
  EXPECT_THAT(why_not(with(line, "\"end\":512", "\"end\":513")), testing::HasSubstr("end"));
  EXPECT_THAT(why_not(with(line, "\"bf16\"", "\"bf17\"")), testing::HasSubstr("bf17"));
}

TEST(WorkerSpec, rounds_and_answers_there_and_back) {
  const Round round{64, 8, 123'456'789'012'345, 0.25};
  EXPECT_EQ(parse_round(to_line(round)), round);
  EXPECT_THROW(parse_round(to_line(Round{1, 0, 5, 0.25})), Error);
  EXPECT_THROW(parse_round(to_line(Round{1, 1, 5, 0})), Error);
  WorkerAnswer answer;
  answer.error = "a \"quoted\"\nline";
  answer.code = 4;
  answer.method = "kernel tma, 24 SMs";
  answer.bytes = 1ull << 40;
  answer.end_ns = 99;
  EXPECT_EQ(parse_answer(to_line(answer)), answer);
  EXPECT_EQ(to_line(answer).find('\n'), to_line(answer).size() - 1);
  answer.code = 0;
  EXPECT_THROW(parse_answer(to_line(answer)), Error);
  answer.code = 99;
  EXPECT_THROW(parse_answer(to_line(answer)), Error);
}

}  // namespace
}  // namespace kvferry::cli::bench
