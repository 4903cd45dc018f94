"""Reference vectors of a small Qwen2 embedding model with random weights, computed by Hugging Face transformers.

The checkpoint is made here by the rule that random-checkpoint.ts states, and shares no code with it, so that a mistake
in one is not in the other. Needs torch, transformers, safetensors and numpy:

    python3 qwen2_reference.py > qwen2-goldens.json

On standard error it prints the sums of the checkpoints' tensor data that random-checkpoint.test.ts pins. With the
folder of a checkpoint that random-checkpoint.ts wrote, it prints that one's vectors alone, as transformers has them:

    python3 qwen2_reference.py FOLDER
"""

import hashlib
import json
import math
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, VOCABULARY, POSITIONS = 128, 320, 3, 8, 2, 512, 4096
ROPE_THETA = 1000000.0
LENGTHS = [1, 2, 3, 5, 9, 12, 17, 33, 64, 100, 257, 600]
TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def token_ids(length):
    return [(31 * k * k + 17 * k + 101 * length) % VOCABULARY for k in range(length)]


def normals(name, shape):
    """About a standard normal for each element: the sum of the four bytes of a hash of name and place, scaled."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = (seed ^ byte) * 0x01000193 % 2**32
    x = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    sums = x.view(np.uint8).reshape(-1, 4).sum(1, dtype=np.int64)
    return ((sums - 510) / 147.8016).reshape(shape)


def linear(name, outputs, inputs):
    weight = normals(name, (outputs, inputs)) * (1 / math.sqrt(inputs))
    weight[:, np.arange(inputs) % 61 == 7] *= 4
    return weight


def random_tensors():
    """All tensors in float32, by name."""
    tensors = {"embed_tokens.weight": normals("embed_tokens.weight", (VOCABULARY, HIDDEN))}
    norms = ["norm.weight"]
    for index in range(LAYERS):
        layer = f"layers.{index}."
        norms += [layer + "input_layernorm.weight", layer + "post_attention_layernorm.weight"]
        for part, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
            name, width = f"{layer}self_attn.{part}_proj.", HIDDEN // HEADS * heads
            tensors[name + "weight"] = linear(name + "weight", width, HIDDEN)
            tensors[name + "bias"] = normals(name + "bias", (width,)) * 0.5
        for part, outputs, inputs in (
            ("self_attn.o", HIDDEN, HIDDEN),
            ("mlp.gate", INNER, HIDDEN),
            ("mlp.up", INNER, HIDDEN),
            ("mlp.down", HIDDEN, INNER),
        ):
            name = f"{layer}{part}_proj.weight"
            tensors[name] = linear(name, outputs, inputs)
    for name in norms:
        tensors[name] = 1 + 0.1 * normals(name, (HIDDEN,))
    return {name: torch.from_numpy(values.astype(np.float32)) for name, values in tensors.items()}


def write_checkpoint(folder, kind):
    folder.mkdir()
    tensors = {name: tensor.to(TYPES[kind]) for name, tensor in random_tensors().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["Qwen2Model"],
        "model_type": "qwen2",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": POSITIONS,
        "rms_norm_eps": 1e-6,
        "rope_theta": ROPE_THETA,
        "hidden_act": "silu",
        "torch_dtype": str(TYPES[kind]).removeprefix("torch."),
        "use_sliding_window": False,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def data_sum(path):
    """SHA-256 of all that follows the header of a safetensors file."""
    data = path.read_bytes()
    (header_bytes,) = struct.unpack("<Q", data[:8])
    return hashlib.sha256(data[8 + header_bytes :]).hexdigest()


def vectors(folder):
    """The hidden state of the last token, after the final norm, L2 normalised: weights as stored, float32 math."""
    model, info = transformers.Qwen2Model.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    size = HIDDEN // HEADS
    frequencies = ROPE_THETA ** -(torch.arange(0, size, 2) / size)
    assert torch.allclose(model.rotary_emb.inv_freq, frequencies), "rope_theta was not taken from the config"
    goldens = []
    for length in LENGTHS:
        ids = token_ids(length)
        with torch.no_grad():
            last = model.eval()(input_ids=torch.tensor([ids])).last_hidden_state[0, -1].double()
        goldens.append({"ids": ids, "vector": [round(v, 7) for v in (last / last.norm()).tolist()]})
    return goldens


def listed(goldens):
    return "[\n" + ",\n".join(json.dumps(golden, separators=(",", ":")) for golden in goldens) + "\n]"


def main():
    transformers.utils.logging.disable_progress_bar()
    if len(sys.argv) > 1:
        print(listed(vectors(Path(sys.argv[1]))))
        return
    with tempfile.TemporaryDirectory() as parent:
        folders = {kind: Path(parent) / kind for kind in TYPES}
        for kind, folder in folders.items():
            write_checkpoint(folder, kind)
            print(kind, data_sum(folder / "model.safetensors"), file=sys.stderr)
        f32, bf16 = listed(vectors(folders["F32"])), listed(vectors(folders["BF16"]))
    print(f'{{"transformers":"{transformers.__version__}",\n"f32":{f32},\n"bf16":{bf16}}}')


if __name__ == "__main__":
    main()
