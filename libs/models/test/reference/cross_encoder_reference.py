"""Reference scores of a small BERT cross-encoder with random weights, computed by Hugging Face transformers, and how its tokenizer
makes pairs of texts.

The checkpoint is made here by the rule that random-checkpoint.ts states. Needs torch, transformers, safetensors and numpy, and
the tokenizer.json of all-MiniLM-L6-v2 (BERT's uncased word pieces), as `embergate model pull` leaves it:

    python3 cross_encoder_reference.py TOKENIZER_JSON > cross-encoder-goldens.json

On standard error it prints the sum of the checkpoint's tensor data that random-checkpoint.test.ts pins.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from qwen2_reference import data_sum, linear, normals
from safetensors.torch import save_file

HIDDEN, INNER, LAYERS, HEADS, VOCABULARY, POSITIONS, EPSILON = 128, 320, 3, 4, 512, 640, 1e-12
# Tokens of the first and of the second text, special ones included.
LENGTHS = [(2, 1), (3, 3), (5, 12), (12, 100), (33, 33), (100, 412), (300, 340)]

MAX_TOKENS = 32
LONG = "def resend(self, message, attempts=3):  # keeps the order of what is sent "
PAIRS = [
    ("retry with backoff", "def retry(call):\n    return call()"),
    ("", "pass"),
    ("Übergröße naïve 中文 🙂", "camelCaseName snake_case_name != 0x1F"),
    ("short", LONG * 4),
    (LONG * 4, "short"),
    (LONG * 4, LONG * 5),
    (LONG * 5, LONG * 4),
    ("sixteen words " * 8, "another eight words here " * 4),
]


def norm(name):
    return {name + ".weight": 1 + 0.1 * normals(name + ".weight", (HIDDEN,)), name + ".bias": 0.5 * normals(name + ".bias", (HIDDEN,))}


def weights(name, outputs, inputs):
    return {name + ".weight": linear(name + ".weight", outputs, inputs), name + ".bias": 0.5 * normals(name + ".bias", (outputs,))}


def tensors():
    found = {}
    for name, rows in (("word", VOCABULARY), ("position", POSITIONS), ("token_type", 2)):
        name = f"bert.embeddings.{name}_embeddings.weight"
        found[name] = normals(name, (rows, HIDDEN))
    found |= norm("bert.embeddings.LayerNorm")
    for index in range(LAYERS):
        layer = f"bert.encoder.layer.{index}."
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            found |= weights(layer + part, HIDDEN, HIDDEN)
        found |= weights(layer + "intermediate.dense", INNER, HIDDEN) | weights(layer + "output.dense", HIDDEN, INNER)
        found |= norm(layer + "attention.output.LayerNorm") | norm(layer + "output.LayerNorm")
    return found | weights("bert.pooler.dense", HIDDEN, HIDDEN) | weights("classifier", 1, HIDDEN)


CONFIG = {
    "architectures": ["BertForSequenceClassification"],
    "id2label": {"0": "LABEL_0"},
    "model_type": "bert",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "vocab_size": VOCABULARY,
    "type_vocab_size": 2,
    "max_position_embeddings": POSITIONS,
    "layer_norm_eps": EPSILON,
    "hidden_act": "gelu",
}


def scores(folder):
    save_file(
        {name: torch.from_numpy(values.astype(np.float32)) for name, values in tensors().items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    (folder / "config.json").write_text(json.dumps(CONFIG))
    print("cross-encoder", data_sum(folder / "model.safetensors"), file=sys.stderr)
    model, info = transformers.BertForSequenceClassification.from_pretrained(
        folder, torch_dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    model.eval()
    found = []
    for first, second in LENGTHS:
        ids = [(31 * k * k + 17 * k + 101 * first) % VOCABULARY for k in range(first + second)]
        types = [0] * first + [1] * second
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits
        assert logits.shape == (1, 1)
        found.append({"ids": ids, "first": first, "logit": round(float(logits[0, 0]), 6)})
    return found


def pairs(tokenizer_file):
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=tokenizer_file)
    found = []
    for query, passage in PAIRS:
        encoded = tokenizer(query, passage, truncation="longest_first", max_length=MAX_TOKENS, padding=False)
        ids, types = encoded["input_ids"], encoded["token_type_ids"]
        found.append({"query": query, "passage": passage, "ids": ids, "types": types})
    return found


def listed(items):
    return "[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in items) + "]"


def main():
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as parent:
        found = scores(Path(parent))
    print(
        f'{{"transformers":"{transformers.__version__}","maxTokens":{MAX_TOKENS},\n"scores":{listed(found)},\n'
        f'"pairs":{listed(pairs(sys.argv[1]))}}}'
    )


main()
