"""Reference vectors of small BERT and nomic_bert models with random weights, computed by Hugging Face transformers.

The checkpoints are made here by the rule that random-checkpoint.ts states, and share no code with it, so that a mistake in
one is not in the other. transformers >= 5 has nomic_bert as an architecture of its own; it reads checkpoints under the names
that nomic-ai publishes. Needs torch, transformers, safetensors and numpy:

    python3 encoder_reference.py > encoder-goldens.json

On standard error it prints the sums of the checkpoints' tensor data that random-checkpoint.test.ts pins, and how far an
implementation in numpy is from transformers that is written here from the architecture's definition (nomic-ai/contrastors,
modeling_hf_nomic_bert.py): it settles which of the two matrices is the gate, and how positions are turned.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from qwen2_reference import data_sum, linear, listed, normals
from safetensors.torch import save_file

HIDDEN, INNER, LAYERS, HEADS, VOCABULARY = 128, 320, 3, 4, 512
BERT_POSITIONS, NOMIC_POSITIONS, NOMIC_BASE, EPSILON = 640, 2048, 1000.0, 1e-12
LENGTHS = [1, 2, 5, 12, 33, 100, 257, 600]


def token_ids(length):
    return [(31 * k * k + 17 * k + 101 * length) % VOCABULARY for k in range(length)]


def norm(name):
    return {name + ".weight": 1 + 0.1 * normals(name + ".weight", (HIDDEN,)), name + ".bias": 0.5 * normals(name + ".bias", (HIDDEN,))}


def table(name, rows):
    name = f"embeddings.{name}_embeddings.weight"
    return {name: normals(name, (rows, HIDDEN))}


def weights(name, outputs, inputs, bias=False):
    tensors = {name + ".weight": linear(name + ".weight", outputs, inputs)}
    return tensors | ({name + ".bias": 0.5 * normals(name + ".bias", (outputs,))} if bias else {})


def bert_tensors():
    tensors = table("word", VOCABULARY) | table("position", BERT_POSITIONS) | table("token_type", 2) | norm("embeddings.LayerNorm")
    for index in range(LAYERS):
        layer = f"encoder.layer.{index}."
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            tensors |= weights(layer + part, HIDDEN, HIDDEN, bias=True)
        tensors |= weights(layer + "intermediate.dense", INNER, HIDDEN, bias=True) | weights(layer + "output.dense", HIDDEN, INNER, bias=True)
        tensors |= norm(layer + "attention.output.LayerNorm") | norm(layer + "output.LayerNorm")
    return tensors


def nomic_tensors():
    tensors = table("word", VOCABULARY) | table("token_type", 2) | norm("emb_ln")
    for index in range(LAYERS):
        layer = f"encoder.layers.{index}."
        tensors |= weights(layer + "attn.Wqkv", 3 * HIDDEN, HIDDEN) | weights(layer + "attn.out_proj", HIDDEN, HIDDEN)
        tensors |= weights(layer + "mlp.fc11", INNER, HIDDEN) | weights(layer + "mlp.fc12", INNER, HIDDEN)
        tensors |= weights(layer + "mlp.fc2", HIDDEN, INNER) | norm(layer + "norm1") | norm(layer + "norm2")
    return tensors


SIZES = {
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "vocab_size": VOCABULARY,
    "type_vocab_size": 2,
    "layer_norm_eps": EPSILON,
}
MODELS = {
    "bert": (
        transformers.BertModel,
        bert_tensors,
        {"model_type": "bert", "hidden_act": "gelu", "max_position_embeddings": BERT_POSITIONS},
    ),
    "nomic_bert": (
        transformers.NomicBertModel,
        nomic_tensors,
        {
            "model_type": "nomic_bert",
            "hidden_act": "silu",
            "max_position_embeddings": NOMIC_POSITIONS,
            "rope_parameters": {"rope_type": "default", "rope_theta": NOMIC_BASE},
        },
    ),
}


def transformers_states(kind, folder):
    """Token states by transformers: float32, as the models are served."""
    options = {"add_pooling_layer": False} if kind == "bert" else {}
    model, info = MODELS[kind][0].from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, **options
    )
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    model.eval()

    def states(ids):
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids])).last_hidden_state[0].double().numpy()

    return states


def layer_norm(x, t, name):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON) * t[name + ".weight"] + t[name + ".bias"]


def rotate(x):
    """x [heads, tokens, size]: dimension i turns with dimension i + size / 2."""
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[1])[:, None] * NOMIC_BASE ** -(np.arange(half) / half)
    first, second = x[..., :half], x[..., half:]
    return np.concatenate(
        [first * np.cos(angles) - second * np.sin(angles), second * np.cos(angles) + first * np.sin(angles)], -1
    )


def numpy_nomic(ids):
    """Token states in float64."""
    t = nomic_tensors()
    x = t["embeddings.word_embeddings.weight"][ids] + t["embeddings.token_type_embeddings.weight"][0]
    x = layer_norm(x, t, "emb_ln")
    for index in range(LAYERS):
        layer = f"encoder.layers.{index}."
        qkv = (x @ t[layer + "attn.Wqkv.weight"].T).reshape(len(ids), 3, HEADS, -1).transpose(1, 2, 0, 3)
        query, key, value = rotate(qkv[0]), rotate(qkv[1]), qkv[2]
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True)) @ value
        mixed = mixed.transpose(1, 0, 2).reshape(len(ids), -1)
        x = layer_norm(x + mixed @ t[layer + "attn.out_proj.weight"].T, t, layer + "norm1")
        gate = x @ t[layer + "mlp.fc12.weight"].T
        wide = x @ t[layer + "mlp.fc11.weight"].T * (gate / (1 + np.exp(-gate)))
        x = layer_norm(x + wide @ t[layer + "mlp.fc2.weight"].T, t, layer + "norm2")
    return x


def goldens(kind, folder):
    model, tensors, config = MODELS[kind]
    folder.mkdir()
    save_file(
        {name: torch.from_numpy(values.astype(np.float32)) for name, values in tensors().items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    (folder / "config.json").write_text(json.dumps({"architectures": [model.__name__]} | SIZES | config))
    print(kind, data_sum(folder / "model.safetensors"), file=sys.stderr)
    states = transformers_states(kind, folder)
    found = []
    for length in LENGTHS:
        ids = token_ids(length)
        tokens = states(ids)
        if kind == "nomic_bert":
            difference = np.abs(tokens - numpy_nomic(ids)).max()
            print(f"{length} tokens: numpy is {difference:.1e} from transformers", file=sys.stderr)
            assert difference < 1e-4
        mean, cls = tokens.mean(0), tokens[0]
        found.append(
            {"ids": ids, "length": round(float(np.linalg.norm(mean)), 5)}
            | {name: [round(float(v), 6) for v in vector / np.linalg.norm(vector)] for name, vector in (("mean", mean), ("cls", cls))}
        )
    return listed(found)


def main():
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as parent:
        bert, nomic = (goldens(kind, Path(parent) / kind) for kind in MODELS)
    print(f'{{"transformers":"{transformers.__version__}",\n"bert":{bert},\n"nomic_bert":{nomic}}}')


main()
