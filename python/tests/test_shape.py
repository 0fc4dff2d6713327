"""The geometry."""

import json
import pickle

import numpy
import pytest

import kvferry

MISTRAL = {
    "model_type": "mistral3",
    "text_config": {
        "num_hidden_layers": 40,
        "num_key_value_heads": 8,
        "num_attention_heads": 32,
        "head_dim": 128,
        "hidden_size": 5120,
        "torch_dtype": "bfloat16",
    },
}


def test_sizes():
    shape = kvferry.CacheShape()
    assert shape.block_bytes == 65536
    assert shape.blocks_for(4 << 30) == 1638
    assert shape.blocks_for_tokens(17) == 2
    assert str(shape) == "40 layers x 2 x 8 heads x 128 dims x 16 tokens, bf16"
    assert shape.dtype_bytes == 2


def test_a_value():
    shape = kvferry.CacheShape(layers=3)
    assert shape == kvferry.CacheShape(layers=3)
    assert shape != kvferry.CacheShape()
    assert len({shape, kvferry.CacheShape(layers=3)}) == 1
    assert pickle.loads(pickle.dumps(shape)) == shape
    with pytest.raises(AttributeError):
        shape.layers = 4


@pytest.mark.parametrize(
    ("dtype", "name"),
    [("bfloat16", "bf16"), ("float16", "fp16"), (numpy.float32, "fp32"), (numpy.dtype("float16"), "fp16"),
     ("fp8_e4m3", "fp8_e4m3"), ("torch.float8_e5m2", "fp8_e5m2"), (numpy.int8, "int8")],
)  # fmt: skip
def test_dtypes(dtype, name):
    assert kvferry.CacheShape(dtype=dtype).dtype == name


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"layers": 0}, "layers"), ({"kv": 3}, "kv"), ({"head_dim": 1 << 20}, "head_dim"), ({"layers": -1}, "layers"),
     ({"layers": 1 << 40}, "layers"), ({"dtype": "fp7"}, "fp7")],
)  # fmt: skip
def test_what_is_no_shape(fields, says):
    with pytest.raises(kvferry.InvalidArgument, match=says):
        kvferry.CacheShape(**fields)


def test_from_model_config(tmp_path):
    shape = kvferry.CacheShape.from_model_config(MISTRAL)
    assert shape == kvferry.CacheShape()
    (tmp_path / "config.json").write_text(json.dumps(MISTRAL))
    for config in (tmp_path, str(tmp_path / "config.json"), json.dumps(MISTRAL)):
        assert kvferry.CacheShape.from_model_config(config) == shape

    class Config:
        def to_dict(self):
            return MISTRAL

    assert kvferry.CacheShape.from_model_config(Config(), block_tokens=32, dtype="fp8_e4m3") == kvferry.CacheShape(
        block_tokens=32, dtype="fp8_e4m3"
    )
    with pytest.raises(kvferry.InvalidArgument, match="num_hidden_layers"):
        kvferry.CacheShape.from_model_config({"head_dim": 128})
    with pytest.raises(OSError, match="nothing"):
        kvferry.CacheShape.from_model_config(tmp_path / "nothing.json")
