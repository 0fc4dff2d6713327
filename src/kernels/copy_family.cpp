#include "kernels/copy.hpp"

namespace kvferry::kernels {

std::string to_string(Family family) {
  switch (family) {
    case Family::plain: return "plain";
    case Family::tma: return "tma";
    case Family::generic: return "generic";
  }
  return "unknown";
}

}  // namespace kvferry::kernels
