"""A small byte-level BPE tokenizer built like Qwen2's, and the ids that Hugging Face's tokenizers give with it.

Qwen2's own tokenizer.json has 7 MB; this one has its pattern, normaliser and added tokens, and a vocabulary learnt from
the few texts below. Needs tokenizers; writes bpe-tokenizer.json and bpe-goldens.json beside itself:

    python3 bpe_reference.py
"""

import json
import re
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

VOCABULARY, MAX_TOKENS = 600, 64
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
END, START_OF_TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

LEARNT_FROM = [
    "def connect(host, port):\n    retries = 0\n    while True:\n        try:\n            return open_connection(host, port)\n"
    "        except ConnectionError as error:\n            retries += 1\n            if retries > MAX_RETRIES:\n"
    "                raise error\n",
    "export async function readLines(path: string): Promise<string[]> {\r\n  const lines: string[] = [];\r\n"
    "  for await (const line of open(path)) lines.push(line);\r\n  return lines;\r\n}\r\n",
    "func (s *Server) Close() error {\n\ts.mu.Lock()\n\tdefer s.mu.Unlock()\n\treturn s.listener.Close()\n}\n",
    "The connection is closed when the server doesn't answer; it's retried with an exponential backoff.",
    "internationalization, international, nation, national, nationalization and internationalize",
    "ſtadt ſtern ſtill ſtets",
    "== ==== ======== //---- //-------- ........ 0123 2024 漢字 漢字仮名 関数は配列をソートする 😀😀 😀👍 café é naïve",
]

TEXTS = [
    "",
    "x",
    "retry with exponential backoff",
    "def add(a, b):\n    return a + b\n",
    "  if (line.endsWith('\\r\\n')) {\r\n\t\treturn line.slice(0, -2);\r\n\r\n  }\r\n",
    "SELECT id, name FROM users WHERE deleted_at IS NULL ORDER BY created_at DESC LIMIT 10;",
    "getHTTPResponseCode __init__ a_b-c.d x->y std::vector<std::pair<int,int>>{}",
    "it's they're I'VE we'll I'm he'd DON'T 'S'T x'RETRY x'LLe x'ſtadt x'ſ ’s o''s 'K",
    "deploy 🚀 the 👩‍👩‍👧‍👦 service ✅ now 👍🏽 🇩🇪 ☺️",
    "関数は配列をソートする。한국어 주석 and 中文注释，混合 code();",
    "\u1112\u1161\u11ab\u1100\u1173\u11af Hangul of single letters",
    "e\u0301a\u0323\u0302a\u0302\u0323 \u0301x q\u0307\u0323 \u1e0b\u0323 \u03b1\u0345\u0314\u0301 \u212b \u2126 \u212a \u037e \u1fef",
    "z\u0335\u0321\u0316\u0301\u0300\u0302algo\u0489\u0334\u20dd \ufb1d \u0958 \ufb01 \ufdfa \u1e9b\u0323",
    "\u0000\u0000a\u0000 \u0001\u0007\u001b[0m\u007f\u0080",
    "half \ud83d here, \ude00 there, \ud83d\ud83d both, \ud83d\u0301 accented",
    "a\u00a0b\u3000c\u2028d\u2029e\u0085f\ufeffg\u200bh\u1680i\u180ej\u000bk\u000cl\u001cm",
    "   \n\n   \n x  \t \r\n \r y   \u00a0 \u0085 z   ",
    " \n",
    "\n   ",
    "a  b   c    d\t\te \t f",
    "0 12 3456 1e-9 0x1F ٣٤ ４５ ½ ² Ⅷ 1,000.00 v1.2.3",
    f"{END}{START_OF_TURN}user\nWhat is {END}?{END_OF_TURN}\n{START_OF_TURN}assistant",
    f"a {END} b\u0301{END_OF_TURN}\u0301  {START_OF_TURN}  \n{END}",
    "<|endoftext|<|endoftext|>|> <|im_start|<|im_end|> <|IM_END|> <| im_end |> <|im_\u0065nd|> ＜|im_end|＞",
    "Ġ Ċ âĢĶ are characters, not bytes; Ã©",
    "supercalifragilisticexpialidocious" * 4,
    "========================================= --------- ///////// ..........!!!!!?",
]
CUT = [
    ("internationalization", 5_000),
    ("nation", 20_000),
    ("a", 100_000),
    ("=", 3_000),
    (" ", 1_000),
    (" \n", 2_000),
    ("\r\n", 5_000),
    ("const a = 1;\r\n", 5_000),
    ("漢字仮名", 5_000),
    ("😀", 5_000),
    ("\ud83d", 5_000),
    ("e\u0301", 5_000),
    ("\u0301\u0323", 5_000),
    ("\u1112\u1161\u11ab", 5_000),
    ("\0", 5_000),
    ("0123456789", 5_000),
    (START_OF_TURN, 5_000),
    (f".{END}\n  ", 5_000),
    ("it's ", 64),
    # The last accent comes first in NFC.
    ("nationalization" * 20 + "e" + "\u0301" * 300 + "\u0323", 1),
]


def build():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(LEARNT_FROM * 4, trainer)
    tokenizer.add_special_tokens([END, START_OF_TURN, END_OF_TURN])
    return tokenizer


def with_end(tokenizer):
    """The same one, whose post-processor puts <|endoftext|> after each text."""
    ending = Tokenizer.from_str(tokenizer.to_str())
    special = [(END, tokenizer.token_to_id(END))]
    template = processors.TemplateProcessing(single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=special)
    ending.post_processor = processors.Sequence([tokenizer.post_processor, template])
    return ending


def ids_of(tokenizer, text):
    """Half a surrogate pair is U+FFFD in UTF-8, which is what tokenizers read."""
    return tokenizer.encode(re.sub("[\ud800-\udfff]", "\ufffd", text)).ids


def main():
    folder = Path(__file__).parent
    tokenizer = build()
    ending = with_end(tokenizer)
    file = json.loads(tokenizer.to_str())
    (folder / "bpe-tokenizer.json").write_text(json.dumps(file, ensure_ascii=False))
    texts = [{"text": text, "ids": ids_of(tokenizer, text), "endedIds": ids_of(ending, text)} for text in TEXTS]
    tokenizer.enable_truncation(MAX_TOKENS)
    ending.enable_truncation(MAX_TOKENS)
    cut = [
        {"text": text, "times": n, "ids": ids_of(tokenizer, text * n), "endedIds": ids_of(ending, text * n)}
        for text, n in CUT
    ]
    goldens = {
        "endingPostProcessor": json.loads(ending.to_str())["post_processor"],
        "texts": texts,
        "maxTokens": MAX_TOKENS,
        "cut": cut,
    }
    (folder / "bpe-goldens.json").write_text(json.dumps(goldens, ensure_ascii=True))


main()
