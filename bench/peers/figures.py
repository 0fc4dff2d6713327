"""Statistics of interleaved rounds: medians, quantiles, and 95 % intervals from order statistics."""

import math
import statistics

MIN_ROUNDS = 10


def quantile(values, q):
    """Nearest rank: the smallest value that at least a share q of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def median_interval(values, confidence=0.95):
    """(low, high) that holds the median with at least this confidence, whatever the distribution.

    The k-th smallest and k-th largest, with the largest k for which n tosses of a fair coin show fewer than k heads
    with a probability of at most (1 - confidence) / 2. None where there are too few values for any k.
    """
    n, ordered = len(values), sorted(values)
    below, k = 0.0, 0
    while k < n // 2:
        below += math.comb(n, k) / 2**n
        if below > (1 - confidence) / 2:
            break
        k += 1
    return (ordered[k - 1], ordered[n - k]) if k else None


def ratio_of_rounds(ours, others):
    """How many times as fast we are: the median of each round's ratio of medians, and its interval."""
    ratios = [statistics.median(b) / statistics.median(a) for a, b in zip(ours, others, strict=True)]
    interval = median_interval(ratios)
    return {
        "median": statistics.median(ratios),
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "rounds": len(ratios),
    }


def summarize(rounds, size):
    """`rounds`: lists of seconds. Medians over all transfers; the interval over the medians of the rounds."""
    every = [s for one in rounds for s in one]
    interval = median_interval([statistics.median(one) for one in rounds])
    median = statistics.median(every)
    return {
        "transfers": len(every),
        "median_s": median,
        "median_low_s": interval[0] if interval else None,
        "median_high_s": interval[1] if interval else None,
        "p99_s": quantile(every, 0.99),
        "gb_per_s": size / median / 1e9,
    }
