#include "registry/local_addresses.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "session/address.hpp"

namespace kvferry::registry {
namespace {

using testing::ElementsAre;

const std::vector<std::string> kInterfaces{"10.0.0.1", "192.168.1.2", "fd00::1"};

TEST(AnnouncedAddresses, AnAddressIsAnnouncedAsItIs) {
  EXPECT_THAT(announced_addresses({"10.0.0.1:5555", "unix:/a"}, kInterfaces),
              ElementsAre("10.0.0.1:5555"));
  EXPECT_THAT(announced_addresses({"localhost:5555"}, {}), ElementsAre("localhost:5555"));
}

TEST(AnnouncedAddresses, AWildcardIsEveryInterfaceOfItsFamily) {
  EXPECT_THAT(announced_addresses({"0.0.0.0:5555", "unix:/a"}, kInterfaces),
              ElementsAre("10.0.0.1:5555", "192.168.1.2:5555"));
  EXPECT_THAT(announced_addresses({"[::]:5555"}, kInterfaces), ElementsAre("[fd00::1]:5555"));
  EXPECT_THAT(announced_addresses({"0.0.0.0:1", "[::]:1", "10.0.0.1:1"}, kInterfaces),
              ElementsAre("10.0.0.1:1", "192.168.1.2:1", "[fd00::1]:1"));
}

TEST(AnnouncedAddresses, WithoutInterfacesThereIsLoopback) {
  EXPECT_THAT(announced_addresses({"0.0.0.0:1", "[::]:1"}, {}),
              ElementsAre("127.0.0.1:1", "[::1]:1"));
}

TEST(AnnouncedAddresses, AUnixSocketIsBetterThanNothing) {
  EXPECT_THAT(announced_addresses({"unix:/a"}, kInterfaces), ElementsAre("unix:/a"));
}

TEST(InterfaceAddresses, CanBeConnectedTo) {
  for (const std::string& host : interface_addresses()) {
    const std::string text = session::Address{false, {}, host, 1}.to_string();
    EXPECT_EQ(session::parse_address(text).host, host);
    EXPECT_FALSE(host.starts_with("127.") || host.starts_with("fe80") || host == "::1") << host;
  }
}

}  // namespace
}  // namespace kvferry::registry
