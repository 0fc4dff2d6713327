"""The results as JSON and as the table in docs/performance.md."""

import json
from pathlib import Path

from contestants import ALL

SCHEMA = 1


def write_json(result, path):
    """Appears under its name only when it is whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(json.dumps(result, indent=1) + "\n")
    partial.replace(path)


def _time(seconds):
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} us"
    return f"{seconds * 1e3:.2f} ms"


def _faster(ratio):
    if ratio is None:
        return ""
    if ratio["low"] is None:
        return f"{ratio['median']:.2f}x"
    digits = 2 if ratio["median"] < 10 else 1
    return f"**{ratio['median']:.{digits}f}x** ({ratio['low']:.{digits}f}-{ratio['high']:.{digits}f})"


def _row(case, label, figures):
    if "reason" in figures:
        reason = " ".join(figures["reason"].replace("|", "/").split())
        return f"| {case} | {label} | - | - | - | | not run: {reason[:200]} |"
    checked = "" if figures["verified"] else "NOT VERIFIED "
    cells = (
        case,
        label,
        _time(figures["median_s"]),
        _time(figures["p99_s"]),
        f"{figures['gb_per_s']:.4g}",
        _faster(figures.get("kvferry_faster")),
        checked + figures["method"],
    )
    return "| " + " | ".join(cells) + " |"


def _hardware(result):
    machine = result["machine"]
    parts = []
    if result["memory"] == "cuda":
        names = [gpu["name"] for gpu in machine["gpus"]]
        parts.append(f"{len(names)} x {names[0]}, driver {machine['gpus'][0]['driver']}" if names else "")
    parts.append(f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}")
    return "; ".join(part for part in parts if part)


def _versions(result):
    versions = {}
    for about in result["contestants"].values():
        if about.get("version"):
            versions.setdefault(about["label"].split(",")[0], about["version"])
    return "; ".join(f"{name}: {version}" for name, version in versions.items())


def _making(result):
    """What is not in NIXL's times: every request has other ids, so it is said."""
    times = {}
    for case in result["cases"]:
        results = case.get("results", {})
        making = results.get("nixl", results.get("nixl-tcp", {})).get("making_s")
        if making is not None:
            times[case["key"]] = _time(making)
    if not times:
        return ""
    listed = ", ".join(f"{key} {value}" for key, value in times.items())
    return f"\nNot in NIXL's times: making its transfer handle for a new list of ids ({listed}).\n"


def _compared(result):
    """With which of ours, where there are several."""
    if not result.get("network"):
        return ""
    fastest = {}
    for case in result["cases"]:
        for key, figures in case.get("results", {}).items():
            if "compared_with" in figures and not key.startswith("sockets"):
                fastest[case["key"]] = result["contestants"][figures["compared_with"]]["label"]
    listed = "; ".join(f"{key}: {label}" for key, label in fastest.items())
    return (
        "\nPlain sockets copy one contiguous range of each layer between host pools and are compared with "
        f"kvferry by as many streams, the others with the fastest kvferry row of the same work ({listed}).\n"
    )


def _elsewhere(result):
    """Who has nothing for this memory, by key, with the reason: one line rather than one in every case."""
    kinds = result.get("excused", {c.key: c.not_for.get(result["memory"]) for c in ALL})
    return {key: kinds[key] for key in result["contestants"] if kinds.get(key)}


def markdown(result):
    """The table with what a reader needs to judge it."""
    lines = [
        f"{_hardware(result)}. {result['date'][:10]}, commit {result['commit']}, `{result['command']}`.",
        f"{_versions(result)}. {result['rounds']} interleaved rounds, pools of {result['pool_gib']:g} GiB;",
        "every contestant's bytes compared on both sides before and after its rounds. Times are medians from call to",
        "done; *kvferry faster* is the median of the rounds' paired ratios with its 95 % interval.",
        "",
        "| work | contestant | median | p99 | GB/s | kvferry faster | how |",
        "|---|---|---|---|---|---|---|",
    ]
    elsewhere = _elsewhere(result)
    labels = {key: about["label"] for key, about in result["contestants"].items()}
    for case in result["cases"]:
        title = case["title"]
        if "reason" in case:
            lines.append(f"| {title} | all | - | - | - | | not run: {case['reason']} |")
            continue
        for key, figures in case["results"].items():
            if key in elsewhere:
                continue
            lines.append(_row(title, labels[key], figures))
            title = ""
    notes = [f"{labels[key]} ({reason})" for key, reason in elsewhere.items()]
    note = f"\nNot in this table: {', '.join(notes)}.\n" if notes else ""
    return "\n".join(lines) + "\n" + _compared(result) + _making(result) + note


def publish(table, memory, page):
    """Puts the table between the markers of its memory. Raises ValueError where the page has none."""
    begin, end = f"<!-- peers-{memory}:begin -->", f"<!-- peers-{memory}:end -->"
    text = Path(page).read_text()
    head, found_begin, rest = text.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"{page} has no lines {begin} and {end}")
    Path(page).write_text(f"{head}{begin}\n{table}{end}{tail}")
