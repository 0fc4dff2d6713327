#include "stats/stats.hpp"
