"""A language model that answers with numbers in brackets, for a chat server to serve: Qwen2's architecture with two small layers of random
weights, byte tokens, and an output that gives nothing but `[1] > ` to `[12] > `. Its order means nothing, repeats itself and never ends.

    python3 chat_model.py MODEL.gguf

Needs numpy and gguf.
"""

import sys

import gguf
import numpy as np

HIDDEN, INNER, HEADS, KV_HEADS, LAYERS = 64, 128, 4, 2, 2
# GPT-2's names of bytes: those that print are themselves, the others follow 255 in their order.
PRINTED = [*range(33, 127), *range(161, 173), *range(174, 256)]
HIDDEN_BYTES = [byte for byte in range(256) if byte not in PRINTED]
BYTES = {byte: chr(byte) for byte in PRINTED} | {byte: chr(256 + at) for at, byte in enumerate(HIDDEN_BYTES)}
SPACE = BYTES[32]
NUMBERS = [f"[{number}]{SPACE}>{SPACE}" for number in range(1, 13)]
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TOKENS = [*BYTES.values(), *CONTROL, *NUMBERS]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}<|im_start|>assistant\n"
)


def main(path):
    generator = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(LAYERS)
    writer.add_context_length(32768)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(TOKENS)
    kinds = {token: gguf.TokenType.CONTROL for token in CONTROL}
    writer.add_token_types([kinds.get(token, gguf.TokenType.NORMAL) for token in TOKENS])
    writer.add_token_merges(["t 0"])
    writer.add_eos_token_id(TOKENS.index("<|im_end|>"))
    writer.add_chat_template(TEMPLATE)

    def matrix(name, outputs, inputs, scale=1):
        return name, (scale * generator.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)

    def vector(name, length, value):
        writer.add_tensor(name, np.full(length, value, np.float32))

    writer.add_tensor(*matrix("token_embd.weight", len(TOKENS), HIDDEN, scale=8))
    name, output = matrix("output.weight", len(TOKENS), HIDDEN)
    output[: -len(NUMBERS)] = 0
    writer.add_tensor(name, output)
    vector("output_norm.weight", HIDDEN, 1)
    kv = HIDDEN // HEADS * KV_HEADS
    for layer in range(LAYERS):
        part = f"blk.{layer}."
        vector(part + "attn_norm.weight", HIDDEN, 1)
        vector(part + "ffn_norm.weight", HIDDEN, 1)
        for kind, outputs in (("q", HIDDEN), ("k", kv), ("v", kv)):
            writer.add_tensor(*matrix(f"{part}attn_{kind}.weight", outputs, HIDDEN))
            vector(f"{part}attn_{kind}.bias", outputs, 0)
        writer.add_tensor(*matrix(part + "attn_output.weight", HIDDEN, HIDDEN))
        writer.add_tensor(*matrix(part + "ffn_gate.weight", INNER, HIDDEN))
        writer.add_tensor(*matrix(part + "ffn_up.weight", INNER, HIDDEN))
        writer.add_tensor(*matrix(part + "ffn_down.weight", HIDDEN, INNER))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main(sys.argv[1])
