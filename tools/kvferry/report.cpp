#include "report.hpp"

#include <algorithm>

#include "units.hpp"

namespace kvferry::cli {

Rates rates_of(std::span<const TransferReport> transfers) {
  std::vector<double> rates;
  rates.reserve(transfers.size());
  for (const TransferReport& t : transfers) rates.push_back(gb_per_s(t.bytes, t.total_s));
  std::sort(rates.begin(), rates.end());
  const std::size_t half = rates.size() / 2;
  const double median = rates.size() % 2 == 1 ? rates[half] : (rates[half - 1] + rates[half]) / 2;
  return {rates.front(), median, rates.back()};
}

}  // namespace kvferry::cli
