"""Generation as a whole, on small models: relations that must hold exactly."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from transformers import TFGPT2LMHeadModel

from gpt2simple.backend.tensorflow import tf
from gpt2simple.errors import SettingsError
from gpt2simple.generation.batch import batch_sizes
from gpt2simple.generation.generator import Generator
from gpt2simple.generation.samples import TextChunk
from gpt2simple.generation.sampling import log_probability
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.container import build_model, named_variables
from gpt2simple.gpt2.network import cached, kv_cache
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.gpt2.tokenizer.added import AddedToken
from gpt2simple.settings import GenerateSettings
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer, small_model
from tests.helpers.models import assign_weights
from tests.helpers.paths import GOLDEN
from tests.helpers.weight_layouts import PARITY_CONFIG, random_weights

END = 256
WINDOW = SMALL_CONFIG.n_ctx
GREEDY = GenerateSettings(temperature=0.0, length=WINDOW - 2, include_prefix=False)


@pytest.fixture(scope="module")
def model() -> TFGPT2LMHeadModel:
    return small_model(1)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return byte_tokenizer()


@pytest.fixture(scope="module")
def generator(model: TFGPT2LMHeadModel, tokenizer: Tokenizer) -> Generator:
    return Generator(named_variables(model), SMALL_CONFIG, tokenizer)


def plain_greedy(model: TFGPT2LMHeadModel, prompt: list[int], length: int) -> list[int]:
    """Greedy ids by a forward pass of transformers' model over the whole text for each token."""
    ids = list(prompt)
    for _ in range(length):
        ids.append(int(np.argmax(model(tf.constant([ids])).logits[0, -1])))
        if ids[-1] == END:
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize("prefix", ["a", "ab", "The quick brown", "zoë €5"])
def test_cached_greedy_ids_equal_those_of_uncached_forward_passes(
    model: TFGPT2LMHeadModel, generator: Generator, tokenizer: Tokenizer, prefix: str
) -> None:
    prompt = tokenizer.encode(prefix)
    length = WINDOW - len(prompt)
    sample = generator.generate([prefix], GenerateSettings(temperature=0.0, length=length))[0]
    assert list(sample.tokens) == plain_greedy(model, prompt, length)


def test_greedy_ids_are_pytorchs(tokenizer: Tokenizer) -> None:
    """The golden file holds what PyTorch's transformers wrote; tests/golden/make_greedy_ids.py made it."""
    golden = json.loads((GOLDEN / "greedy_ids.json").read_text(encoding="utf-8"))
    model = build_model(PARITY_CONFIG)
    assign_weights(model, random_weights())
    generator = Generator(named_variables(model), PARITY_CONFIG, tokenizer)
    for prompt, theirs in golden.items():
        prefix = bytes(int(word) for word in prompt.split()).decode()
        settings = GenerateSettings(temperature=0.0, length=len(theirs), min_length=len(theirs))
        assert list(generator.generate([prefix], settings)[0].tokens) == theirs
        assert len(set(theirs)) >= 5
        assert END not in theirs


@pytest.mark.parametrize("shape", [(97, 24, 12, 3, 1), (257, 40, 24, 1, 3), (300, 64, 32, 8, 1)])
def test_greedy_ids_are_right_for_other_shapes(tokenizer: Tokenizer, shape: tuple[int, ...]) -> None:
    v, t, e, h, n = shape
    sizes = ModelConfig(n_vocab=v, n_ctx=t, n_embd=e, n_head=h, n_layer=n)
    model = build_model(sizes, seed=3, initializer_range=0.3)
    sample = Generator(named_variables(model), sizes, tokenizer).generate(
        ["!1"], GenerateSettings(temperature=0.0, length=t - 2, logprobs=True)
    )[0]
    assert len(set(sample.tokens)) > 3, "a text that repeats itself proves little"
    logits = model(tf.constant([[33, 49, *sample.tokens[:-1]]])).logits[0].numpy()[1:, : min(v, 257)]
    assert list(sample.tokens) == np.argmax(logits, axis=-1).tolist()


def test_gains_biases_and_means_that_training_moves_are_honoured(tokenizer: Tokenizer) -> None:
    """A fresh model has gains of one and biases of zero: what is folded into the weights would not show."""
    model = small_model(5)
    for number, variable in enumerate(named_variables(model).values()):
        variable.assign_add(tf.random.stateless_normal(variable.shape, [7, number], stddev=0.3))
    sample = Generator(named_variables(model), SMALL_CONFIG, tokenizer).generate(["ab"], GREEDY)[0]
    assert list(sample.tokens) == plain_greedy(model, [97, 98], GREEDY.length)


def test_logprobs_are_the_models_own(model: TFGPT2LMHeadModel, generator: Generator) -> None:
    settings = GenerateSettings(length=20, top_k=5, temperature=0.5, seed=0, logprobs=True)
    sample = generator.generate(["ab"], settings)[0]
    logits = model(tf.constant([[97, 98, *sample.tokens[:-1]]])).logits[0].numpy()[1:]
    expected = [log_probability(row, token) for row, token in zip(logits, sample.tokens, strict=True)]
    assert sample.logprobs == pytest.approx(expected, abs=1e-4)
    assert generator.generate(["ab"], GenerateSettings(length=2))[0].logprobs is None


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 8])
def test_texts_do_not_depend_on_the_batch(generator: Generator, batch_size: int) -> None:
    """Unequal prefixes, more samples than rows, texts beyond the window, ends at different times."""
    settings = {"length": 45, "nsamples": 2, "seed": 0, "temperature": 1.3}
    prefixes = ["a", "hello there", "", "x" * 40]
    alone = generator.generate(prefixes, GenerateSettings(batch_size=1, **settings))
    together = generator.generate(prefixes, GenerateSettings(batch_size=batch_size, **settings))
    assert [sample.tokens for sample in together] == [sample.tokens for sample in alone]
    assert {sample.finish_reason for sample in alone} == {"length", "end_of_text"}
    assert len({sample.tokens for sample in alone}) == 8


def test_top_k_of_one_is_greedy(generator: Generator) -> None:
    greedy = generator.generate(["ab"], GREEDY)[0]
    drawn = generator.generate(["ab"], GenerateSettings(top_k=1, temperature=1.0, length=GREEDY.length))[0]
    assert drawn.tokens == greedy.tokens


def test_a_seed_gives_the_same_text_in_a_fresh_process_which_writes_nothing_to_stderr(generator: Generator) -> None:
    """TensorFlow's devices and transformers' TF classes each announce themselves on first use, once a process."""
    code = (
        "from gpt2simple.generation.generator import Generator\n"
        "from gpt2simple.gpt2.container import named_variables\n"
        "from gpt2simple.settings import GenerateSettings\n"
        "from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer, small_model\n"
        "g = Generator(named_variables(small_model(1)), SMALL_CONFIG, byte_tokenizer())\n"
        "s = g.generate(['ab'], GenerateSettings(seed=0, length=40, nsamples=2, batch_size=2))\n"
        "print([x.tokens for x in s])"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = generator.generate(["ab"], GenerateSettings(seed=0, length=40, nsamples=2, batch_size=1))
    assert (there.stdout, there.stderr) == (f"{[sample.tokens for sample in here]}\n", "")


def test_zero_is_a_seed_and_none_is_not(generator: Generator) -> None:
    def texts(seed: int | None) -> list[str]:
        settings = GenerateSettings(seed=seed, length=20, nsamples=2, temperature=2.0, batch_size=1)
        return [sample.text for sample in generator.generate(["ab"], settings)]

    assert texts(0) == texts(0)
    assert texts(0) != texts(1)
    assert texts(0)[0] != texts(0)[1]
    assert texts(None) != texts(None)  # equal by chance once in far more than 1e9 runs


def test_first_tokens_follow_the_models_distribution(model: TFGPT2LMHeadModel, generator: Generator) -> None:
    """Chi-square over 3,000 samples of one token; a false alarm has probability 1e-6 (and the draws are seeded)."""
    settings = GenerateSettings(length=1, nsamples=3000, temperature=1.0, top_k=8, seed=4, include_prefix=False)
    counts = np.bincount([sample.tokens[0] for sample in generator.generate(["ab"], settings)], minlength=257)
    logits = model(tf.constant([[97, 98]])).logits[0, -1].numpy().astype(np.float64)
    best = np.argsort(logits)[-8:]
    expected = 3000 * np.exp(logits[best]) / np.exp(logits[best]).sum()
    assert counts.sum() == counts[best].sum()
    assert ((counts[best] - expected) ** 2 / expected).sum() < 40.5  # 7 degrees of freedom, 1e-6


def test_the_time_of_a_sample_is_that_of_its_writing(generator: Generator) -> None:
    """The time that it waited for a row was once counted too: the last of six seemed six times slower."""
    started = time.perf_counter()
    samples = generator.generate(["ab"], GenerateSettings(length=20, min_length=20, nsamples=6, batch_size=1))
    assert 0 < sum(sample.seconds for sample in samples) <= time.perf_counter() - started
    settings = GenerateSettings(length=20, min_length=20, nsamples=6, batch_size=6)
    generator.generate(["ab"], settings)  # compiles
    started = time.perf_counter()
    together = generator.generate(["ab"], settings)
    whole = time.perf_counter() - started
    assert all(sample.seconds <= whole for sample in together)
    assert sum(sample.seconds for sample in together) > whole, "six that are written side by side share the time"
    assert [sample.tokens_per_second for sample in together] == [20 / sample.seconds for sample in together]


def by_sample(pieces: Iterator[TextChunk]) -> dict[int, list[TextChunk]]:
    collected: dict[int, list[TextChunk]] = {}
    for piece in pieces:
        collected.setdefault(piece.sample, []).append(piece)
    return collected


@pytest.mark.parametrize("include_prefix", [True, False])
def test_pieces_join_to_the_samples(generator: Generator, include_prefix: bool) -> None:
    """A random byte model writes broken UTF-8 all the time: every piece must still be whole characters."""
    settings = GenerateSettings(
        length=40, nsamples=3, batch_size=2, seed=7, temperature=2.0, stop=("a",), include_prefix=include_prefix
    )
    samples = generator.generate(["zoë", "€"], settings)
    pieces = by_sample(generator.stream(["zoë", "€"], settings))
    for number, sample in enumerate(samples):
        assert "".join(piece.text for piece in pieces[number]) == sample.text
        assert tuple(token for piece in pieces[number] for token in piece.tokens) == sample.tokens
        assert [piece.finish_reason for piece in pieces[number][:-1]] == [None] * (len(pieces[number]) - 1)
        assert sample.text.startswith(sample.prefix) == include_prefix
        written = sample.text.removeprefix(sample.prefix) if include_prefix else sample.text
        whole = byte_tokenizer().decode(sample.tokens)
        assert written == (whole.split("a")[0] if sample.finish_reason == "stop" else whole)
    assert {sample.finish_reason for sample in samples} >= {"stop"}


class Scripted:
    """Variables of a model that writes a given byte string after any prefix of one token: position says what."""

    def __init__(self, text: bytes) -> None:
        self.config = ModelConfig(n_vocab=257, n_ctx=32, n_embd=257, n_head=1, n_layer=1)
        model = build_model(self.config, seed=0, initializer_range=0.0)
        self.variables = named_variables(model)
        self.variables["wte.weight"].assign(np.eye(257, dtype=np.float32))
        places = np.zeros((32, 257), np.float32)
        for position, token in enumerate([*text, END]):
            places[position, token] = 9.0
        self.variables["wpe.weight"].assign(places)


def written(text: bytes, tokenizer: Tokenizer, **settings: object) -> tuple[str, str]:
    script = Scripted(text)
    generator = Generator(script.variables, script.config, tokenizer)
    sample = generator.generate(["?"], GenerateSettings(temperature=0.0, **settings))[0]  # type: ignore[arg-type]
    return sample.text, sample.finish_reason


def test_a_sample_ends_at_the_end_of_text_which_is_not_written(tokenizer: Tokenizer) -> None:
    assert written("zoë".encode(), tokenizer) == ("?zoë", "end_of_text")


def test_length_counts_new_tokens(tokenizer: Tokenizer) -> None:
    assert written(b"abcdef", tokenizer, length=3) == ("?abc", "length")


def test_a_stop_string_straddles_tokens_and_is_left_out(tokenizer: Tokenizer) -> None:
    assert written(b"one -- two", tokenizer, stop=("--",)) == ("?one ", "stop")


def test_truncate_cuts_at_its_first_occurrence(tokenizer: Tokenizer) -> None:
    assert written(b"one. two. three", tokenizer, truncate=". ", include_prefix=False) == ("one", "stop")


def test_the_prefix_is_left_out_whether_or_not_truncate_is_found(tokenizer: Tokenizer) -> None:
    assert written(b"one", tokenizer, include_prefix=False) == ("one", "end_of_text")
    assert written(b"one", tokenizer, truncate="#", include_prefix=False) == ("one", "end_of_text")


def test_a_prefix_that_contains_the_stop_string_does_not_stop_the_text(tokenizer: Tokenizer) -> None:
    assert written(b"one?two", tokenizer, stop=("?",)) == ("?one", "stop")


def test_min_length_holds_back_end_and_stop_strings(tokenizer: Tokenizer) -> None:
    text, reason = written(b"a-b-c", tokenizer, stop=("-",), min_length=3)
    assert (text, reason) == ("?a-b", "stop")
    script = Scripted(b"ab")
    sample = Generator(script.variables, script.config, tokenizer).generate(
        ["?"], GenerateSettings(temperature=0.0, length=10, min_length=5)
    )[0]
    assert END not in sample.tokens[:5]


def test_bad_words_are_not_written(tokenizer: Tokenizer) -> None:
    text, _ = written(b"a bad word", tokenizer, bad_words=("bad",), length=12)
    assert "a ba" in text
    assert "bad" not in text


def test_texts_go_on_beyond_the_window_by_its_newer_half_and_say_so_once(
    model: TFGPT2LMHeadModel, tokenizer: Tokenizer, messages: list[str]
) -> None:
    generator = Generator(named_variables(model), SMALL_CONFIG, tokenizer)
    settings = GenerateSettings(temperature=0.0, length=3 * WINDOW, nsamples=2, repetition_penalty=1.5)
    samples = generator.generate(["ab"], settings)
    assert len(messages) == 1
    assert f"window of {WINDOW} tokens" in messages[0]
    assert [sample.new_tokens for sample in samples] == [3 * WINDOW] * 2


def test_texts_do_not_depend_on_the_tiles_of_the_caches(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rings of five tiles or one, with more samples than rows, prompts of many lengths, and beyond the window."""
    config = replace(SMALL_CONFIG, n_ctx=50)  # of whose caches only these tiles are compiled, whatever ran before
    weights = named_variables(build_model(config, seed=3, initializer_range=0.3))
    prefixes = ["a", "The old man", "b" * 30, "cd", "", "e" * 49]
    settings = GenerateSettings(length=90, temperature=1.0, top_k=20, seed=4, batch_size=3, nsamples=2)
    texts = []
    for slots in (128, 16):
        monkeypatch.setattr(kv_cache, "_TILE", slots)
        texts.append([sample.text for sample in Generator(weights, config, tokenizer).generate(prefixes, settings)])
    assert texts[0] == texts[1]


def test_sliding_re_reads_the_newer_half(model: TFGPT2LMHeadModel, generator: Generator) -> None:
    ids = [97, 98]
    context = list(ids)
    while len(ids) < 2 * WINDOW:
        token = int(np.argmax(model(tf.constant([context])).logits[0, -1]))
        ids.append(token)
        context.append(token)
        if len(context) > WINDOW:  # the window is full and one more is to be read
            context = context[-WINDOW // 2 :]
        if token == END:
            break
    sample = generator.generate(["ab"], GenerateSettings(temperature=0.0, length=2 * WINDOW - 2))[0]
    assert list(sample.tokens) == ids[2:]


def test_a_prefix_longer_than_the_window_is_read_from_its_end_with_a_notice(
    model: TFGPT2LMHeadModel, tokenizer: Tokenizer, messages: list[str]
) -> None:
    generator = Generator(named_variables(model), SMALL_CONFIG, tokenizer)
    prefix = "0123456789" * 5
    sample = generator.generate([prefix], GenerateSettings(temperature=0.0, length=1))[0]
    last = list(prefix[-WINDOW:].encode())
    assert sample.tokens[0] == int(np.argmax(model(tf.constant([last])).logits[0, -1]))
    assert sample.text.startswith(prefix)
    assert messages == [
        f"The prefix has 50 tokens, more than the model's window of {WINDOW}: only the last {WINDOW} are read."
    ]


def test_an_empty_prefix_starts_from_the_end_of_text(model: TFGPT2LMHeadModel, generator: Generator) -> None:
    sample = generator.generate([""], GenerateSettings(temperature=0.0, length=5))[0]
    assert list(sample.tokens) == plain_greedy(model, [END], 5)
    assert sample.prompt_tokens == 1


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.05), ("float16", 0.01), ("int8", 0.05)])
def test_reduced_precisions_stay_near_float32(
    model: TFGPT2LMHeadModel, tokenizer: Tokenizer, precision: str, tolerance: float
) -> None:
    """Log-probabilities of a text that all precisions are made to write: its tokens are the only ones kept."""
    settings = GenerateSettings(temperature=0.0, length=20, logprobs=True)
    exact = Generator(named_variables(model), SMALL_CONFIG, tokenizer).generate(["ab"], settings)[0]
    near = Generator(named_variables(model), SMALL_CONFIG, tokenizer, precision=precision).generate(["ab"], settings)[0]
    same = next((i for i, pair in enumerate(zip(exact.tokens, near.tokens, strict=True)) if len(set(pair)) > 1), 20)
    assert same >= 5
    assert exact.logprobs is not None
    assert near.logprobs is not None
    assert near.logprobs[:same] == pytest.approx(exact.logprobs[:same], abs=tolerance)
    assert near.logprobs[0] != exact.logprobs[0]


def test_nothing_is_compiled_twice(model: TFGPT2LMHeadModel, tokenizer: Tokenizer) -> None:
    """Nor for a second generator, other lengths within a bucket, seeds, temperatures or other weights."""

    def use(seed: int) -> None:
        generator = Generator(named_variables(small_model(seed)), SMALL_CONFIG, tokenizer)
        for length, prefix in ((5, "a"), (25, "abcdef"), (40, "abc" * 5)):
            for batch_size in (1, 4):
                settings = GenerateSettings(length=length, nsamples=4, batch_size=batch_size, seed=seed)
                generator.generate([prefix], settings)
        generator.close()

    use(0)
    before = cached.traces.copy()
    for seed in range(1, 4):
        use(seed)
    assert cached.traces == before
    # Training compiles functions too, and forgets those that were not used for long: tests before this one may have
    # compiled one of them again.
    assert {count for key, count in before.items() if key[0] in ("read", "write", "step", "text")} == {1}


def test_a_batch_shrinks_by_halves_over_at_most_four_sizes() -> None:
    assert batch_sizes(8) == (8, 4, 2, 1)
    assert batch_sizes(20) == (20, 10, 5, 3)
    assert batch_sizes(1) == (1,)


def test_a_closed_generator_says_so(model: TFGPT2LMHeadModel, tokenizer: Tokenizer) -> None:
    generator = Generator(named_variables(model), SMALL_CONFIG, tokenizer)
    generator.close()
    with pytest.raises(SettingsError, match="was closed and has no weights; make a new one"):
        generator.stream(["a"], GenerateSettings())


def test_unknown_precisions_and_no_prefixes_are_refused(
    model: TFGPT2LMHeadModel, generator: Generator, tokenizer: Tokenizer
) -> None:
    with pytest.raises(SettingsError, match="precision is 'int4'; expected one of float32, bfloat16, float16, int8"):
        Generator(named_variables(model), SMALL_CONFIG, tokenizer, precision="int4")
    with pytest.raises(SettingsError, match="prefixes is empty; give at least one"):
        generator.generate([], GenerateSettings())


def test_training_after_the_copy_does_not_reach_it(tokenizer: Tokenizer) -> None:
    model = small_model(2)
    generator = Generator(named_variables(model), SMALL_CONFIG, tokenizer)
    before = generator.generate(["ab"], GREEDY)[0].tokens
    for variable in named_variables(model).values():
        variable.assign(variable * 0.5)
    assert generator.generate(["ab"], GREEDY)[0].tokens == before


@pytest.mark.parametrize("precision", ["float32", pytest.param("int8", marks=pytest.mark.slow)])
def test_ids_without_a_token_are_never_written_and_added_tokens_are(precision: str) -> None:
    """Rows behind the vocabulary, and a gap within it."""
    vocabulary = byte_tokenizer()._vocabulary
    tokenizer = Tokenizer(replace(vocabulary, added={**vocabulary.added, "<a>": AddedToken(id=259)}))
    config = replace(SMALL_CONFIG, n_vocab=264)
    variables = named_variables(build_model(config, seed=0, initializer_range=0.1))
    generator = Generator(variables, config, tokenizer, precision)
    samples = generator.generate(["x<a>"], GenerateSettings(length=120, nsamples=8, temperature=1e6, seed=1))
    written = [token for sample in samples for token in sample.tokens]
    assert not {257, 258, *range(260, 264)} & set(written)
    assert written.count(259) > 1
    assert sum(sample.text.count("<a>") for sample in samples) == written.count(259) + 8, "with the prefixes"
    stopped = generator.generate(["x<a>"], GenerateSettings(length=999, temperature=1e6, seed=1, stop=("<a>",)))[0]
    assert (stopped.finish_reason, stopped.tokens[-1], stopped.text.count("<a>")) == ("stop", 259, 1)
    without = generator.generate(["x"], GenerateSettings(length=60, nsamples=8, temperature=1e6, bad_words="<a>"))
    assert 259 not in [token for sample in without for token in sample.tokens]
