"""How long llama.cpp takes for the tokens of a query, in the shape of nomic-embed-code (Qwen2, 28 layers of 3584) with random
Q4_0 weights. `bench:large -- --llama PYTHON` runs it in turns with our own model; by itself:

    python3 llama_reference.py FOLDER --threads 2 --tokens 12,20,32 --rounds 10

Needs numpy, gguf and llama-cpp-python. The vocabulary has 1,024 tokens instead of 152,064, so that the head of the language
model, which an embedding does not need, costs llama.cpp next to nothing. Reads lines of a number of tokens where --serve is
given, and answers each with milliseconds.
"""

import argparse
import ctypes
import sys
import time
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

HIDDEN, INNER, HEADS, KV_HEADS, VOCABULARY = 3584, 18944, 28, 4, 1024
BLOCK, BLOCK_BYTES = 32, 18


def q4_0(rows, columns, generator):
    """[rows, columns / 32 blocks of a half-precision scale and 16 bytes]: any bytes are valid, the scale must be finite."""
    blocks = rows * columns // BLOCK
    data = np.empty((blocks, BLOCK_BYTES), np.uint8)
    data[:, :2] = np.full(blocks, 0.005, np.float16).view(np.uint8).reshape(blocks, 2)
    data[:, 2:] = np.resize(generator.integers(0, 256, 1 << 20, np.uint8), (blocks, BLOCK_BYTES - 2))
    return data.reshape(rows, -1)


def write_model(path, layers):
    generator = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "qwen2", use_temp_file=True)
    writer.add_block_count(layers)
    writer.add_context_length(4096)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([f"t{n}" for n in range(VOCABULARY)])
    writer.add_token_types([gguf.TokenType.NORMAL] * VOCABULARY)
    writer.add_token_merges(["t 0"])
    writer.add_eos_token_id(0)

    def matrix(name, outputs, inputs):
        data = q4_0(outputs, inputs, generator)
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    def vector(name, length, value):
        writer.add_tensor(name, np.full(length, value, np.float32))

    matrix("token_embd.weight", VOCABULARY, HIDDEN)
    vector("output_norm.weight", HIDDEN, 1)
    kv = HIDDEN // HEADS * KV_HEADS
    for layer in range(layers):
        name = f"blk.{layer}."
        vector(name + "attn_norm.weight", HIDDEN, 1)
        vector(name + "ffn_norm.weight", HIDDEN, 1)
        for part, outputs in (("q", HIDDEN), ("k", kv), ("v", kv)):
            matrix(f"{name}attn_{part}.weight", outputs, HIDDEN)
            vector(f"{name}attn_{part}.bias", outputs, 0)
        matrix(name + "attn_output.weight", HIDDEN, HIDDEN)
        matrix(name + "ffn_gate.weight", INNER, HIDDEN)
        matrix(name + "ffn_up.weight", INNER, HIDDEN)
        matrix(name + "ffn_down.weight", HIDDEN, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Model:
    def __init__(self, path, threads):
        llama_cpp.llama_backend_init()
        quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(quiet, None)
        self.quiet = quiet
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = 512
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)

    def milliseconds(self, tokens):
        """Of one run over so many tokens with nothing before them."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        ids = (llama_cpp.llama_token * tokens)(*[(n * 37 + 11) % VOCABULARY for n in range(tokens)])
        start = time.perf_counter()
        if llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(ids, tokens)) != 0:
            raise RuntimeError("llama_decode failed")
        llama_cpp.llama_synchronize(self.context)
        return (time.perf_counter() - start) * 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", default="12,20,32")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    path = options.folder / f"random-{options.layers}-q4_0.gguf"
    if not path.exists():
        partial = path.with_suffix(".part")
        write_model(partial, options.layers)
        partial.rename(path)
    model = Model(path, options.threads)
    model.milliseconds(12)
    if options.serve:
        print("ready", flush=True)
        for line in sys.stdin:
            print(f"{model.milliseconds(int(line)):.2f}", flush=True)
        return
    for tokens in map(int, options.tokens.split(",")):
        times = sorted(model.milliseconds(tokens) for _ in range(options.rounds))
        print(f"{tokens} tokens: p50 {times[len(times) // 2]:.0f} ms, least {times[0]:.0f} ms ({options.rounds})")


if __name__ == "__main__":
    main()
