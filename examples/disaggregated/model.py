"""A real transformer with random weights, and a prefill and a decode step of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, MistralConfig

import kvferry
from paged_cache import BlockAllocator, CachedSequence, PagedCache


def _mistral(
    layers: int, hidden: int, inner: int, heads: int, kv_heads: int, head_dim: int, words: int
) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": words,
    }


PRESETS = {
    # Small enough for two CPU cores; grouped-query attention as in the large ones.
    "tiny": _mistral(4, 256, 512, heads=8, kv_heads=2, head_dim=32, words=4096),
    "mistral-7b": _mistral(32, 4096, 14336, heads=32, kv_heads=8, head_dim=128, words=32768),
    "mistral-small": _mistral(40, 5120, 32768, heads=32, kv_heads=8, head_dim=128, words=131072),
}


def config_of(name: str) -> Any:
    """Of a preset, or of a Hugging Face config.json."""
    if name in PRESETS:
        return MistralConfig(**PRESETS[name], sliding_window=None)
    path = Path(name)
    if not path.exists():
        raise SystemExit(f"--model {name}: neither one of {', '.join(PRESETS)} nor a config.json or its folder")
    config = AutoConfig.from_pretrained(path)
    return getattr(config, "text_config", config)


class Model:
    """The transformer and a pool of blocks for its KV cache, on one device."""

    def __init__(
        self,
        name: str,
        *,
        device: str,
        dtype: torch.dtype,
        blocks: int,
        block_tokens: int,
        seed: int,
        pool_seed: int,
    ) -> None:
        config = config_of(name)
        self.device = torch.device(device)
        self.dtype = dtype
        self.transformer = _with_random_weights(config, self.device, dtype, seed)
        heads = config.num_key_value_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = kvferry.CacheShape(
            layers=config.num_hidden_layers,
            kv=2,
            kv_heads=heads,
            head_dim=head_dim,
            block_tokens=block_tokens,
            dtype={torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype],
        )
        self.pool = kvferry.Pool.allocate(shape, blocks, device=device)
        self.layers: list[torch.Tensor] = self.pool.tensors()  # (blocks, 2, block tokens, heads, head dim)
        for layer in self.layers:
            layer.zero_()  # what is masked must be numbers, and GPU memory may hold anything
        self.allocator = BlockAllocator(blocks, pool_seed)

    def checksum(self) -> float:
        """Of the weights: both processes must have made the same ones."""
        return sum(float(weight.detach().double().sum()) for weight in self.transformer.parameters())

    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[list[CachedSequence], list[int]]:
        """Each prompt's cache, and its first token."""
        sequences = [CachedSequence([]) for _ in prompts]
        firsts = [self._forward([prompt], [sequence]) for prompt, sequence in zip(prompts, sequences, strict=True)]
        return sequences, torch.cat(firsts).tolist()

    def step(self, sequences: Sequence[CachedSequence], tokens: Sequence[int]) -> list[int]:
        """The batch's next tokens."""
        next_tokens: list[int] = self._forward([[token] for token in tokens], sequences).tolist()
        return next_tokens

    def decode(self, sequences: Sequence[CachedSequence], tokens: list[int], count: int) -> list[list[int]]:
        """`count` tokens of each sequence, beginning with those given."""
        columns = [tokens]
        while len(columns) < count:
            columns.append(self.step(sequences, columns[-1]))
        return [list(row) for row in zip(*columns, strict=True)]

    @torch.inference_mode()
    def decode_alone(self, prompt: Sequence[int], count: int) -> list[int]:
        """The same with transformers' own cache, one prompt alone: what everything else is compared with."""
        cache = DynamicCache()
        tokens: list[int] = []
        ids = torch.tensor([list(prompt)], device=self.device)
        while len(tokens) < count:
            position_ids = torch.arange(ids.shape[1], device=self.device)[None] + int(cache.get_seq_length())
            output = self.transformer.model(
                input_ids=ids, position_ids=position_ids, past_key_values=cache, use_cache=True
            )
            tokens.append(int(self._greedy(output.last_hidden_state)))
            ids = torch.tensor([[tokens[-1]]], device=self.device)
        return tokens

    @torch.inference_mode()
    def digest(self, sequences: Sequence[CachedSequence]) -> int:
        """A checksum of what these sequences have in the cache, in all layers: every 16 bits times their place."""
        size = int(self.layers[0].shape[2])
        ids = torch.tensor([block for s in sequences for block in s.blocks], device=self.device)
        used = [min(max(s.length - i * size, 0), size) for s in sequences for i in range(len(s.blocks))]
        slots = torch.arange(size, device=self.device) < torch.tensor(used, device=self.device)[:, None]
        total = 0
        for layer in self.layers:
            words = layer[ids].view(torch.int16).to(torch.int64) * slots[:, None, :, None, None]
            places = torch.arange(1, words.numel() + 1, device=self.device) % 1_000_003
            total = total * 31 + int((words.flatten() * places).sum())
        return total

    def release(self, sequences: Sequence[CachedSequence]) -> None:
        for sequence in sequences:
            self.allocator.give_back(sequence.blocks)

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @torch.inference_mode()
    def _forward(self, ids: Sequence[Sequence[int]], sequences: Sequence[CachedSequence]) -> torch.Tensor:
        cache = PagedCache(self.layers, self.allocator, sequences)
        cache.begin(len(ids[0]))
        output = self.transformer.model(
            input_ids=torch.tensor([list(row) for row in ids], device=self.device),
            attention_mask=cache.mask(self.dtype),
            position_ids=cache.position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        cache.end(len(ids[0]))
        return self._greedy(output.last_hidden_state)

    def _greedy(self, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.transformer.lm_head(hidden[:, -1])
        return logits.argmax(-1)


def _with_random_weights(config: Any, device: torch.device, dtype: torch.dtype, seed: int) -> Any:
    torch.manual_seed(seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            make: Any = AutoModelForCausalLM.from_config
            model = make(config)
    finally:
        torch.set_default_dtype(before)
    return model.eval()


def describe(name: str) -> dict[str, int]:
    config = config_of(name)
    fields = ["num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "vocab_size"]
    return {field: getattr(config, field) for field in fields}
