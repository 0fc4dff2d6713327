"""What the example can be asked for."""

from __future__ import annotations

import argparse
import importlib.util

DESCRIPTION = """Prefills in one process and decodes in another: the paged KV cache of a Hugging Face
transformer moves between them by kvferry, block by block id. Checks that the tokens are those of one
process, and measures the time to first token against recomputing the prefill and against sending the
cache with torch.distributed."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="Exit codes: 0 the tokens are equal; 1 they are not; 2 wrong usage, or a package is missing.",
    )
    parser.add_argument(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="cuda: prefill on the first GPU, decode on the last; auto: cuda where there is one",
    )
    parser.add_argument(
        "--model",
        default="auto",
        help="tiny, mistral-7b, mistral-small, or a config.json or its folder; weights are random; "
        "auto: tiny on the CPU, mistral-7b on GPUs",
    )
    parser.add_argument(
        "--dtype",
        choices=["auto", "float32", "bfloat16", "float16"],
        default="auto",
        help="auto: float32 on the CPU, bfloat16 on GPUs",
    )
    parser.add_argument("--prompts", type=int, default=32, help="requests in the batch, of mixed lengths")
    parser.add_argument(
        "--tokens",
        default="auto",
        metavar="MIN-MAX",
        help="lengths of the prompts of the batch; auto: 16-240 on the CPU, 128-2048 on GPUs",
    )
    parser.add_argument("--new-tokens", type=int, default=24, help="tokens decoded for each prompt")
    parser.add_argument(
        "--single",
        default="auto",
        metavar="N[,N...]",
        help="lengths of single prompts to measure too; auto: 128,512 on the CPU, 1024,8192 on GPUs",
    )
    parser.add_argument("--block-tokens", type=int, default=16, help="tokens of a block")
    parser.add_argument("--repetitions", type=int, default=7, help="measurements of each way, after two to warm up")
    parser.add_argument("--no-distributed", action="store_true", help="leave torch.distributed out")
    parser.add_argument("--seed", type=int, default=0, help="of weights, prompts and the order of the blocks")
    parser.add_argument("--json", metavar="FILE", help="write the results to this file as well")
    options = parser.parse_args(arguments)
    for name in ("prompts", "new_tokens", "block_tokens", "repetitions"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} {getattr(options, name)}: it is at least 1")
    missing = [name for name in ("torch", "transformers", "kvferry") if importlib.util.find_spec(name) is None]
    if missing:
        parser.exit(2, f"disaggregated.py needs {', '.join(missing)}: pip install {' '.join(missing)}\n")
    return settle(parser, options)


def settle(parser: argparse.ArgumentParser, options: argparse.Namespace) -> argparse.Namespace:
    """What "auto" means on this machine."""
    import torch

    gpus = torch.cuda.device_count()
    if options.device == "cuda" and gpus == 0:
        parser.error("--device cuda: torch sees no GPU here")
    cuda = gpus > 0 and options.device != "cpu"
    options.devices = ("cuda:0", f"cuda:{gpus - 1}") if cuda else ("cpu", "cpu")
    defaults = {
        "model": "mistral-7b" if cuda else "tiny",
        "dtype": "bfloat16" if cuda else "float32",
        "tokens": "128-2048" if cuda else "16-240",
        "single": "1024,8192" if cuda else "128,512",
    }
    for name, value in defaults.items():
        if getattr(options, name) == "auto":
            setattr(options, name, value)
    try:
        options.least, options.most = (int(part) for part in options.tokens.split("-"))
        options.singles = [int(part) for part in options.single.split(",") if part]
    except ValueError:
        parser.error("--tokens is MIN-MAX and --single N[,N...], of whole numbers")
    if not 1 <= options.least <= options.most or any(single < 1 for single in options.singles):
        parser.error("--tokens and --single: lengths are at least 1, and MIN is not more than MAX")
    return options
