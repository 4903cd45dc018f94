"""Reference vectors of all-MiniLM-L6-v2, computed in float64 with numpy and the Rust tokenizer.

Written from the BERT paper's formulas and sharing nothing with the ONNX graph, so that a mistake in one is not in the
other. Needs numpy and tokenizers:

    python3 bert_reference.py FOLDER_WITH_MODEL > ../../goldens/all-MiniLM-L6-v2.json
"""

import json
import math
import struct
import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

LAYERS, HEADS, EPSILON, MAX_TOKENS = 6, 12, 1e-12, 256

TEXTS = [
    "retry with exponential backoff",
    "Where is the database connection closed?",
    "def add(a, b):\n    return a + b\n",
    "export async function readLines(path: string): AsyncIterable<string> {\r\n  for await (const line of open(path)) yield line;\r\n}",
    "SELECT id, name FROM users WHERE deleted_at IS NULL ORDER BY created_at DESC LIMIT 10;",
    "Überraschung: die Größe naïver Café-Tests, ΑΣΦΑΛΕΙΑ και İstanbul",
    "関数は配列をソートする。한국어 주석 and 中文注释 mixed with code();",
    "deploy 🚀 the 👩‍👩‍👧‍👦 service ✅ now",
    "x",
    "supercalifragilisticexpialidocious" * 4 + " getHTTPResponseCodeXMLHttpRequest __init__ a_b-c.d",
    "  \t\n leading\u0000 and\u200b odd\ufeff spaces\u00a0here  ",
    "\n".join(f"for item_{i} in range({i}): total += item_{i} * {i * 37 % 101}" for i in range(60)),
]


def load_tensors(path):
    data = path.read_bytes()
    (header_bytes,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + header_bytes])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"]).astype(np.float64)
    return tensors


def layer_norm(x, tensors, name):
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
    return centred / deviation * tensors[name + ".weight"] + tensors[name + ".bias"]


def linear(x, tensors, name):
    return x @ tensors[name + ".weight"].T + tensors[name + ".bias"]


erf = np.vectorize(math.erf)


def embed(ids, tensors):
    x = tensors["embeddings.word_embeddings.weight"][ids]
    x = x + tensors["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + tensors["embeddings.token_type_embeddings.weight"][0]
    x = layer_norm(x, tensors, "embeddings.LayerNorm")
    for index in range(LAYERS):
        layer = f"encoder.layer.{index}."
        parts = [linear(x, tensors, f"{layer}attention.self.{part}") for part in ("query", "key", "value")]
        query, key, value = (part.reshape(len(ids), HEADS, -1).transpose(1, 0, 2) for part in parts)
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = (shares @ value).transpose(1, 0, 2).reshape(len(ids), -1)
        x = layer_norm(x + linear(mixed, tensors, layer + "attention.output.dense"), tensors, layer + "attention.output.LayerNorm")
        wide = linear(x, tensors, layer + "intermediate.dense")
        wide = wide * 0.5 * (1 + erf(wide / math.sqrt(2)))
        x = layer_norm(x + linear(wide, tensors, layer + "output.dense"), tensors, layer + "output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def main():
    folder = Path(sys.argv[1])
    tensors = load_tensors(folder / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    goldens = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        goldens.append({"text": text, "ids": ids, "vector": [round(float(v), 6) for v in embed(ids, tensors)]})
    lines = [json.dumps(golden, ensure_ascii=True, separators=(",", ":")) for golden in goldens]
    print("[\n" + ",\n".join(lines) + "\n]")


main()
