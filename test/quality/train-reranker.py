"""Trains a small cross-encoder that puts chunks of code in order: questions in, a Hugging Face checkout out.

    pip install jax tokenizers safetensors numpy
    python train-reranker.py pairs.jsonl --dev dev.jsonl --base FOLDER --out FOLDER [--steps 1000] [--minutes 45]
    python train-reranker.py --dev dev.jsonl --base FOLDER          # how the base's embeddings and BM25 order the same passages

In: lines of reranker-pairs.ts ({"query", "passages", "bm25"}, the first passage is the right one); a folder with model.safetensors and
tokenizer.json of a BERT that embeds with mean pooling, as `embergate model pull all-MiniLM-L6-v2` leaves it.

Out: config.json, model.safetensors (names and shapes of transformers' BertForSequenceClassification, one output), tokenizer.json and
tokenizer_config.json, for `embergate model build`; log.jsonl has the loss and the mean reciprocal ranks on the dev questions.

The model reads [CLS] query [SEP] passage [SEP] and scores by its first token (Nogueira and Cho, Passage Re-ranking with BERT, 2019). A
question's scores, of the right passage and of some wrong ones drawn anew each time, are one softmax, whose cross-entropy is the loss
(Gao, Dai and Callan, Rethink Training of BERT Rerankers in Multi-Stage Retrieval Pipeline, 2021). AdamW; embeddings and the lowest
layers stay as they are, which saves a quarter of the time. Plain JAX, since its package for CPUs is small. Shapes below: B pairs, L tokens, H = 384 hidden.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

HEADS = 12
EPSILON = 1e-12
"""Of layer normalisation, as in BERT."""
WORDS = "embeddings.word_embeddings.weight"
WARM_UP = 0.06
"""Part of the training in which the rate rises."""
WEIGHT_DECAY = 0.01
CLIP = 1.0
"""Longest gradient, as a norm over all weights."""
EVAL_PAIRS = 32
EMBED_TOKENS = 256
"""What all-MiniLM-L6-v2 reads."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pairs", type=Path, nargs="?", help="questions to train on")
    parser.add_argument("--dev", type=Path, required=True, help="questions of packages that are not trained on")
    parser.add_argument("--base", type=Path, required=True, help="folder with model.safetensors and tokenizer.json")
    parser.add_argument("--out", type=Path, help="where the checkout goes")
    parser.add_argument("--steps", type=int, default=1000, help="batches; the rate falls to zero with the last")
    parser.add_argument("--minutes", type=float, default=45, help="ends after so many, with the rate at zero, if steps take longer")
    parser.add_argument("--questions", type=int, default=8, help="a batch")
    parser.add_argument("--wrong", type=int, default=3, help="wrong passages a question")
    parser.add_argument("--tokens", type=int, default=128, help="a pair; the end of the longer text is cut")
    parser.add_argument("--frozen", type=int, default=2, help="lowest layers that are not trained")
    parser.add_argument("--rate", type=float, default=1e-4, help="highest learning rate")
    parser.add_argument("--watch", type=int, default=40, help="dev questions that are looked at while it trains")
    parser.add_argument("--every", type=float, default=5, help="minutes between checkpoints")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if (options.pairs is None) != (options.out is None):
        parser.error("--out goes with questions to train on")
    return options


def normalised(x, weights, name):
    mean = x.mean(-1, keepdims=True)
    variance = jnp.square(x - mean).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + EPSILON) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def dense(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def encode(weights, ids, types, mask, first_only=False):
    """Hidden states (B, L, H) of ids, types and mask (B, L); with first_only those of the first token (B, 1, H), in less time."""
    layers = sum(name.endswith("attention.self.query.weight") for name in weights)
    x = weights[WORDS][ids] + weights["embeddings.token_type_embeddings.weight"][types]
    x = normalised(x + weights["embeddings.position_embeddings.weight"][: ids.shape[1]], weights, "embeddings.LayerNorm")
    bias = jnp.where(mask[:, None, None, :] > 0, 0.0, -1e9)
    for at in range(layers):
        x = layer(weights, f"encoder.layer.{at}", x, bias, asking=x[:, :1] if first_only and at == layers - 1 else x)
    return x


def layer(weights, name, x, bias, asking):
    """One layer's states of the tokens in `asking`, which attend to all in `x`."""

    def heads(states, part):
        states = dense(states, weights, f"{name}.attention.self.{part}")
        return states.reshape(*states.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)

    query, key, value = heads(asking, "query"), heads(x, "key"), heads(x, "value")
    attention = jax.nn.softmax(query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1]) + bias, axis=-1)
    mixed = (attention @ value).transpose(0, 2, 1, 3).reshape(asking.shape)
    mixed = dense(mixed, weights, f"{name}.attention.output.dense")
    states = normalised(asking + mixed, weights, f"{name}.attention.output.LayerNorm")
    inner = jax.nn.gelu(dense(states, weights, f"{name}.intermediate.dense"), approximate=False)
    return normalised(states + dense(inner, weights, f"{name}.output.dense"), weights, f"{name}.output.LayerNorm")


@jax.jit
def scores_of(weights, ids, types, mask):
    """One score a pair (B): higher is better, no scale."""
    first = encode(weights, ids, types, mask, first_only=True)[:, 0]
    return dense(jnp.tanh(dense(first, weights, "pooler.dense")), weights, "classifier")[:, 0]


@jax.jit
def embeddings_of(weights, ids, types, mask):
    """Unit vectors (B, H): the mean of the states, as sentence-transformers pools."""
    mean = (encode(weights, ids, types, mask) * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
    return mean / jnp.linalg.norm(mean, axis=1, keepdims=True)


def loss_of(trained, frozen, batch, questions):
    scores = scores_of({**trained, **frozen}, *batch).reshape(questions, -1)
    return -jax.nn.log_softmax(scores, axis=1)[:, 0].mean()


def train_step(trained, state, frozen, batch, step, rate, questions):
    """AdamW (Loshchilov and Hutter, 2019). `step` counts from 1. Gives weights, state and loss."""
    loss, gradients = jax.value_and_grad(loss_of)(trained, frozen, batch, questions)
    norm = jnp.sqrt(sum(jnp.vdot(gradient, gradient) for gradient in gradients.values()))
    new, moments = {}, {}
    for name, weight in trained.items():
        gradient = gradients[name] * jnp.minimum(1.0, CLIP / (norm + 1e-6))
        first = 0.9 * state[name][0] + 0.1 * gradient
        second = 0.999 * state[name][1] + 0.001 * gradient * gradient
        move = (first / (1 - 0.9**step)) / (jnp.sqrt(second / (1 - 0.999**step)) + 1e-8)
        decay = WEIGHT_DECAY if weight.ndim == 2 else 0.0
        new[name], moments[name] = weight - rate * (move + decay * weight), (first, second)
    return new, moments, loss


class Encoder:
    """Texts or pairs of texts to (ids, types, mask), each (texts, L). L is `tokens`, or with `step` a multiple of it that is enough."""

    def __init__(self, file, tokens, step=None):
        self.tokenizer = Tokenizer.from_file(str(file))
        self.tokenizer.enable_truncation(tokens, strategy="longest_first")
        self.tokenizer.enable_padding(**({"pad_to_multiple_of": step} if step else {"length": tokens}))

    def __call__(self, texts):
        encoded = self.tokenizer.encode_batch(texts)
        return tuple(np.array([getattr(one, part) for one in encoded], np.int32) for part in ("ids", "type_ids", "attention_mask"))


def in_batches(compute, weights, encoder, texts):
    """Results of all texts, in order. Batches are of like lengths, and a batch of few is filled up: there are few shapes to compile."""
    order = sorted(range(len(texts)), key=lambda at: len("".join(texts[at])))
    results = [None] * len(texts)
    for start in range(0, len(order), EVAL_PAIRS):
        part = order[start : start + EVAL_PAIRS]
        filled = [texts[at] for at in part + part[:1] * (EVAL_PAIRS - len(part))]
        for at, result in zip(part, np.asarray(compute(weights, *encoder(filled)))):
            results[at] = result
    return results


def reciprocal_rank(scores):
    """Of the first among all; a tie counts against it."""
    return 1 / sum(score >= scores[0] for score in scores)


def by_cross_encoder(weights, encoder, questions):
    pairs = [(question["query"], passage) for question in questions for passage in question["passages"]]
    scores = iter(in_batches(scores_of, weights, encoder, pairs))
    return float(np.mean([reciprocal_rank([next(scores) for _ in question["passages"]]) for question in questions]))


def by_embeddings(weights, encoder, questions):
    texts = list(dict.fromkeys(text for question in questions for text in (question["query"], *question["passages"])))
    vectors = dict(zip(texts, in_batches(embeddings_of, weights, encoder, texts)))
    ranks = [
        reciprocal_rank([vectors[question["query"]] @ vectors[text] for text in question["passages"]]) for question in questions
    ]
    return float(np.mean(ranks))


def by_words(questions):
    return float(np.mean([reciprocal_rank(question["bm25"]) for question in questions]))


def read_questions(file, random):
    questions = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [questions[at] for at in random.permutation(len(questions))]


def write_checkout(out, base, weights):
    head = ("classifier.",)
    tensors = {name if name.startswith(head) else f"bert.{name}": np.asarray(weight) for name, weight in weights.items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    vocabulary, hidden = weights[WORDS].shape
    config = {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "num_labels": 1,
        "id2label": {"0": "LABEL_0"},
        "hidden_size": hidden,
        "intermediate_size": weights["encoder.layer.0.intermediate.dense.weight"].shape[0],
        "num_hidden_layers": sum(name.endswith("attention.self.query.weight") for name in weights),
        "num_attention_heads": HEADS,
        "vocab_size": vocabulary,
        "type_vocab_size": 2,
        "max_position_embeddings": weights["embeddings.position_embeddings.weight"].shape[0],
        "layer_norm_eps": EPSILON,
        "hidden_act": "gelu",
        "pad_token_id": 0,
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    lengths = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512}
    (out / "tokenizer_config.json").write_text(json.dumps(lengths, indent=2) + "\n")
    shutil.copyfile(base / "tokenizer.json", out / "tokenizer.json")


def read_base(folder, random):
    """The base's weights under transformers' names without `bert.`; a pooler it lacks, and the new head, as transformers draws them."""
    weights = {name.removeprefix("bert."): weight for name, weight in load_file(folder / "model.safetensors").items()}
    weights.pop("embeddings.position_ids", None)
    hidden = weights[WORDS].shape[1]
    for name, outputs in (("pooler.dense", hidden), ("classifier", 1)):
        weights.setdefault(f"{name}.weight", random.normal(0, 0.02, (outputs, hidden)).astype(np.float32))
        weights.setdefault(f"{name}.bias", np.zeros(outputs, np.float32))
    return weights


def batches(questions, options, random):
    """Pairs without end, each batch of `--questions` times (1 right, `--wrong` wrong)."""
    while True:
        order = random.permutation(len(questions))
        for at in range(0, len(order) - options.questions + 1, options.questions):
            pairs = []
            for question in (questions[one] for one in order[at : at + options.questions]):
                wrong = 1 + random.choice(len(question["passages"]) - 1, options.wrong, replace=False)
                pairs += [(question["query"], question["passages"][one]) for one in (0, *wrong)]
            yield pairs


def baselines(options, weights, dev):
    texts_of = Encoder(options.base / "tokenizer.json", EMBED_TOKENS, step=64)
    facts = {"dev": len(dev), "words": by_words(dev), "embeddings": by_embeddings(weights, texts_of, dev)}
    print(json.dumps(facts), flush=True)


def train(options, weights, dev, random):
    questions = read_questions(options.pairs, random)
    options.out.mkdir(parents=True, exist_ok=True)
    pairs_of = Encoder(options.base / "tokenizer.json", options.tokens)
    dev_pairs_of = Encoder(options.base / "tokenizer.json", options.tokens, step=32)
    still = ("embeddings.", *(f"encoder.layer.{at}." for at in range(options.frozen)))
    frozen = {name: weight for name, weight in weights.items() if name.startswith(still)}
    trained = {name: weight for name, weight in weights.items() if name not in frozen}
    state = {name: (jnp.zeros_like(weight), jnp.zeros_like(weight)) for name, weight in trained.items()}
    step_of = jax.jit(train_step, static_argnums=6, donate_argnums=(0, 1))
    started = saved = time.monotonic()
    minutes, losses = 0.0, []
    for step, pairs in enumerate(batches(questions, options, random), 1):
        done = max(step / options.steps, minutes / options.minutes)
        rate = options.rate * min(done / WARM_UP, max(0.0, 1 - done) / (1 - WARM_UP))
        trained, state, loss = step_of(trained, state, frozen, pairs_of(pairs), float(step), rate, options.questions)
        losses.append(float(loss))
        minutes = (time.monotonic() - started) / 60
        if done < 1 and time.monotonic() - saved < options.every * 60:
            continue
        weights, asked = {**trained, **frozen}, dev if done >= 1 else dev[: options.watch]
        write_checkout(options.out, options.base, weights)
        rank = by_cross_encoder(weights, dev_pairs_of, asked)
        facts = {"step": step, "minutes": minutes, "loss": np.mean(losses).item(), "dev": len(asked), "cross_encoder": rank}
        with (options.out / "log.jsonl").open("a") as log:
            print(json.dumps(facts), file=log)
        print(json.dumps(facts), flush=True)
        if done >= 1:
            break
        saved, losses = time.monotonic(), []


def main():
    options = arguments()
    random = np.random.default_rng(options.seed)
    dev = read_questions(options.dev, random)
    weights = {name: jnp.array(weight) for name, weight in read_base(options.base, random).items()}
    if options.pairs is None:
        baselines(options, weights, dev)
    else:
        train(options, weights, dev, random)


if __name__ == "__main__":
    main()
