#include "path/ucx/bind_device.hpp"

namespace kvferry::path::ucx {

void bind_device(Device) {}

}  // namespace kvferry::path::ucx
