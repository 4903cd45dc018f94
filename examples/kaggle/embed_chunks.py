"""Embeds what `embergate chunks export` wrote: chunks.jsonl and embedding.json in, vectors.npy and goldens.json out.

    python embed_chunks.py EXPORT --out OUT [--model FOLDER_OR_HUB_NAME] [--precision fp16|int8|fp32]

Needs torch and transformers; accelerate for fp16 over several GPUs, bitsandbytes for int8. On a CPU: fp32.
Work is cut into parts, each written to OUT/parts as soon as it is embedded: started again with the same arguments and the same
OUT, it goes on after the last of them.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

PART_TEXTS = 512
"""Texts a part: a session that ends loses one of them at most."""

GOLDEN_DOCUMENTS = 12
GOLDEN_QUERIES = [
    "retry with exponential backoff",
    "where is the database connection closed",
    "parse a date from a string",
    "read a file line by line",
    "verify the signature of a token",
    "how are configuration values validated",
    "binary search in a sorted array",
    "send an HTTP request with a timeout",
    "convert between character encodings",
    "evict the least recently used entry",
    "stop the server and wait for open connections",
    "x",
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("export", type=Path, help="folder with chunks.jsonl and embedding.json")
    parser.add_argument("--out", type=Path, required=True, help="where vectors.npy and goldens.json go")
    parser.add_argument("--model", help="a folder, or a name on the hub (default: what embedding.json says)")
    parser.add_argument("--precision", choices=["fp32", "fp16", "int8"], help="of the weights (default: fp16 on GPUs)")
    parser.add_argument("--dtype", choices=["float32", "float16"], default="float32", help="of vectors.npy")
    parser.add_argument("--batch-tokens", type=int, default=8192, help="padded tokens a batch")
    parser.add_argument("--trust-remote-code", action="store_true", help="run the model's own Python code")
    parser.add_argument("--matryoshka", action="store_true", help="cut the vectors to the space's dimensions (a model trained for it)")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.precision = options.precision or ("fp16" if torch.cuda.is_available() else "fp32")
    if options.precision != "fp32" and not torch.cuda.is_available():
        parser.error(f"--precision {options.precision} needs a GPU")
    return options


def read_export(folder):
    described = json.loads((folder / "embedding.json").read_text("utf-8"))
    if described["formatVersion"] != 1:
        sys.exit(f"embedding.json has format {described['formatVersion']}; this script reads format 1.")
    content = (folder / "chunks.jsonl").read_bytes()
    texts = []
    for number, line in enumerate(content.splitlines(), 1):
        chunk = json.loads(line)
        text = chunk["embeddedText"]
        if hashlib.sha256(text.encode("utf-8")).hexdigest() != chunk["embeddedHash"]:
            sys.exit(f"chunks.jsonl, line {number}: the text is not what was exported.")
        texts.append(text)
    if len(texts) != described["chunks"]:
        sys.exit(f"chunks.jsonl has {len(texts)} lines, embedding.json says {described['chunks']}.")
    return described, texts, hashlib.sha256(content).hexdigest()


class Model:
    """Tokens in, vectors out, in plain transformers: the same steps as sentence-transformers takes for such a model."""

    def __init__(self, described, options):
        name = options.model or described["hub"]
        if name is None:
            sys.exit("embedding.json names no model on the hub: give --model with the folder that Embergate's was built from.")
        self.space = described["space"]
        self.max_tokens = described["maxTokens"]
        self.matryoshka = options.matryoshka
        # A folder has no revision but its files.
        revision = {} if Path(name).is_dir() else {"revision": self.space["revision"]}
        common = {**revision, "trust_remote_code": options.trust_remote_code}
        self.tokenizer = AutoTokenizer.from_pretrained(name, **common)
        self.model = AutoModel.from_pretrained(name, use_safetensors=True, **common, **placement(options)).eval()
        if options.precision == "fp32" and torch.cuda.is_available():
            self.model.to("cuda")
        self.device = next(self.model.parameters()).device

    def token_ids(self, texts, input_type):
        prompt = self.space["prompts"][input_type]
        return self.tokenizer([prompt + text for text in texts], truncation=True, max_length=self.max_tokens)["input_ids"]

    @torch.inference_mode()
    def vectors(self, ids):
        """float32, one row a text. Padded on the right: no token of a causal model sees what comes after it."""
        longest = max(map(len, ids))
        pad = self.tokenizer.pad_token_id or 0
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids], device=self.device)
        padded = torch.tensor([row + [pad] * (longest - len(row)) for row in ids], device=self.device)
        causal = {"use_cache": False} if self.space["pooling"] == "last" else {}
        hidden = self.model(input_ids=padded, attention_mask=mask, **causal).last_hidden_state
        mask = mask.to(hidden.device)
        found = self.pooled(hidden.float(), mask)
        if self.matryoshka:
            # Layer normalisation takes the mean out; the deviation goes with the length.
            found = (found - found.mean(1, keepdim=True))[:, : self.space["dimensions"]]
        if self.space["normalize"]:
            found = torch.nn.functional.normalize(found, dim=1)
        return found.cpu().numpy()

    def pooled(self, hidden, mask):
        if self.space["pooling"] == "cls":
            return hidden[:, 0]
        if self.space["pooling"] == "last":
            return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
        weights = mask.unsqueeze(-1).float()
        return (hidden * weights).sum(1) / weights.sum(1)


def placement(options):
    """Where the weights go, and how they are stored."""
    if options.precision == "int8":
        from transformers import BitsAndBytesConfig

        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True), "device_map": {"": 0}, "dtype": torch.float16}
    if options.precision == "fp16":
        # Layers over all GPUs, one after the other: what is too large for one fits into two.
        return {"device_map": "auto", "dtype": torch.float16}
    return {"dtype": torch.float32}


class Plan:
    """Which text is in which part: sorted by length, so that little is padded. The same for every start with the same arguments."""

    def __init__(self, texts, described, digest, options):
        self.texts = texts
        self.order = sorted(range(len(texts)), key=lambda at: (-len(texts[at]), at))
        self.parts = [self.order[at : at + PART_TEXTS] for at in range(0, len(texts), PART_TEXTS)]
        self.folder = options.out / "parts"
        self.identity = {
            "chunks": digest,
            "space": described["spaceId"],
            "model": options.model or described["hub"],
            "precision": options.precision,
            "partTexts": PART_TEXTS,
        }

    def begin(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "plan.json"
        if path.exists() and json.loads(path.read_text("utf-8")) != self.identity:
            sys.exit(f"{self.folder} holds parts of other chunks, or of another model or precision. Choose another --out.")
        write_whole(path, lambda file: file.write(json.dumps(self.identity).encode()))

    def path(self, part):
        return self.folder / f"part-{part:06}.npy"

    def missing(self):
        return [part for part in range(len(self.parts)) if not self.path(part).exists()]


def write_whole(path, write):
    """Under its name a file is there only when it is complete."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def batches(ids, batch_tokens):
    """Places in `ids`, longest first, as many together as their padded length allows."""
    batch = []
    for at in sorted(range(len(ids)), key=lambda place: -len(ids[place])):
        if batch and len(ids[batch[0]]) * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def embed_part(model, texts, batch_tokens):
    ids = model.token_ids(texts, "document")
    found = np.empty((len(texts), model.space["dimensions"]), np.float32)
    for places in batches(ids, batch_tokens):
        made = model.vectors([ids[at] for at in places])
        if made.shape[1] != found.shape[1]:
            sys.exit(f"The model makes {made.shape[1]} numbers a text, embedding.json says {found.shape[1]}.")
        wrong = [at for at, vector in zip(places, made) if not np.isfinite(vector).all()]
        if wrong:
            sys.exit(f"The vector of a text is not finite ({texts[wrong[0]][:80]!r}): {model.model.dtype} overflowed. Try another --precision.")
        found[places] = made
    return found, sum(map(len, ids))


def write_goldens(model, texts, out):
    """Texts with ids and vectors, each embedded alone, for `embergate model verify NAME --goldens goldens.json`."""
    step = max(1, len(texts) // GOLDEN_DOCUMENTS)
    chosen = [(text, "document") for text in texts[::step][:GOLDEN_DOCUMENTS]]
    goldens = []
    for text, input_type in chosen + [(query, "query") for query in GOLDEN_QUERIES]:
        [ids] = model.token_ids([text], input_type)
        [vector] = model.vectors([ids])
        rounded = [float(f"{value:.8g}") for value in vector]
        goldens.append({"text": text, "inputType": input_type, "ids": ids, "vector": rounded})
    write_whole(out / "goldens.json", lambda file: file.write(json.dumps(goldens).encode()))


def work(plan, described, options):
    """Embeds every `workers`-th of the missing parts; the first worker makes the goldens too."""
    worker = options.worker or 0
    mine = [part for part in range(len(plan.parts)) if part % options.workers == worker and not plan.path(part).exists()]
    needs_goldens = worker == 0 and not (options.out / "goldens.json").exists()
    if not mine and not needs_goldens:
        return
    model = Model(described, options)
    if needs_goldens:
        write_goldens(model, plan.texts, options.out)
    for done, part in enumerate(mine, 1):
        started = time.monotonic()
        vectors, tokens = embed_part(model, [plan.texts[at] for at in plan.parts[part]], options.batch_tokens)
        write_whole(plan.path(part), lambda file: np.save(file, vectors))
        rate = tokens / (time.monotonic() - started)
        print(f"worker {worker}: part {done} of {len(mine)}, {len(vectors)} texts, {rate:.0f} tokens/s", flush=True)


def start_workers(count):
    """One process a GPU, each with a whole model of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--workers", str(count)]
    started = [
        subprocess.Popen([*command, "--worker", str(gpu)], env={**os.environ, "CUDA_VISIBLE_DEVICES": str(gpu)})
        for gpu in range(count)
    ]
    if any([process.wait() for process in started]):
        sys.exit("A worker failed; what it had finished is kept. Start again to go on.")


def merge(plan, described, options):
    """Rows into the order of chunks.jsonl, one part at a time."""
    shape = (len(plan.texts), described["space"]["dimensions"])
    temporary = options.out / f"vectors.npy.{os.getpid()}.tmp"
    if plan.texts:
        vectors = np.lib.format.open_memmap(temporary, "w+", np.dtype(options.dtype).newbyteorder("<"), shape)
        for part, places in enumerate(plan.parts):
            vectors[places] = np.load(plan.path(part), allow_pickle=False)
        vectors.flush()
        del vectors
    else:
        with open(temporary, "wb") as file:
            np.save(file, np.empty(shape, options.dtype))
    os.replace(temporary, options.out / "vectors.npy")


def main():
    options = arguments()
    described, texts, digest = read_export(options.export)
    plan = Plan(texts, described, digest, options)
    if options.worker is not None:
        work(plan, described, options)
        return
    plan.begin()
    print(f"{len(texts)} chunks for {described['spaceId']}, {len(plan.missing())} of {len(plan.parts)} parts to do, {options.precision}")
    gpus = torch.cuda.device_count()
    if options.precision == "int8" and gpus > 1:
        start_workers(gpus)
    else:
        work(plan, described, options)
    if plan.missing():
        sys.exit(f"{len(plan.missing())} parts are missing.")
    merge(plan, described, options)
    for name in ["chunks.jsonl", "embedding.json"]:
        write_whole(options.out / name, lambda file: file.write((options.export / name).read_bytes()))
    print(f"{options.out} holds chunks.jsonl, embedding.json, vectors.npy and goldens.json: embergate chunks import")


if __name__ == "__main__":
    main()
