"""The results, for people."""

from __future__ import annotations

from typing import Any

PARTS = ("prefill_s", "handoff_s", "cache_s", "step_s", "total_s")


def equal(results: dict[str, Any]) -> bool:
    """Whether the cache arrived as it was made, and the tokens are those of one process; in float32 also those
    of transformers' own cache."""
    tokens = results["tokens"]
    same: bool = tokens["cache_as_made"] and tokens["same_as_one_process"] == tokens["prompts"]
    if results["model"]["dtype"] == "float32":
        same = same and tokens["same_as_transformers_cache"] == tokens["prompts"]
    return same


def show(results: dict[str, Any]) -> None:
    machine, model, tokens = results["machine"], results["model"], results["tokens"]
    print(
        f"{model['name']}, {model['dtype']}: {model['num_hidden_layers']} layers, "
        f"{model['num_attention_heads']} query and {model['num_key_value_heads']} key-value heads\n"
        f"prefill on {machine['prefill'][0]} ({machine['prefill'][1]}), decode on {machine['decode'][0]} "
        f"({machine['decode'][1]}); torch {machine['torch']}, transformers {machine['transformers']}\n"
        f"tokens: {tokens['prompts']} prompts of mixed lengths, {tokens['tokens_each']} tokens each, "
        f"{tokens['blocks']} blocks pulled, {'as they were made' if tokens['cache_as_made'] else 'CHANGED'}: "
        f"{tokens['same_as_one_process']} of {tokens['prompts']} as in one process, "
        f"{tokens['same_as_transformers_cache']} as with transformers' own cache"
    )
    if tokens["one_process_repeats_itself"] < tokens["prompts"]:
        print(
            f"one process alone repeats itself for {tokens['one_process_repeats_itself']} of {tokens['prompts']} "
            f"prompts only: {model['dtype']} sums come out otherwise each time; --dtype float32 is steadier"
        )
    elif not tokens["cache_as_in_one_process"]:
        print(
            f"the two devices make caches that differ in their last bits: in {model['dtype']} this can change tokens; "
            "--dtype float32 is steadier"
        )
    for case in results["cases"]:
        _show_case(case)
    if results["no_distributed"]:
        print(f"torch.distributed was left out: {results['no_distributed']}")
    print("EQUAL" if equal(results) else "the tokens DIFFER")


def _show_case(case: dict[str, Any]) -> None:
    prompts = "one prompt" if case["prompts"] == 1 else f"{case['prompts']} prompts"
    rate = case["bytes"] / case["ways"]["kvferry"]["cache_s"] / 1e9
    print(
        f"\ntime to first token, {prompts}, {case['tokens']} tokens: {case['blocks']} blocks, "
        f"{case['bytes'] / 2**20:.1f} MiB over {case['path']} ({case['method']}), {rate:.1f} GB/s\n"
        f"  {'ms, medians':28}{'prefill':>10}{'handoff':>10}{'cache':>10}{'step':>10}{'total':>10}"
        f"  {'quartiles':>19}  cache's share"
    )
    for name, way in case["ways"].items():
        parts = "".join(f"{way[part] * 1e3:10.2f}" for part in PARTS)
        low, high = (f"{seconds * 1e3:.2f}" for seconds in way["total_quartiles_s"])
        share = f"{way['cache_share'] * 100:.1f} %" if way["cache_s"] else "-"
        print(f"  {name:28}{parts}  {low + ' - ' + high:>19}  {share}")
