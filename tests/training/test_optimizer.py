"""The optimizer beside its formulas in numpy, and the learning rate beside values worked out by hand."""

import numpy as np
import pytest

from gpt2simple.backend.keras import keras
from gpt2simple.backend.tensorflow import tf
from gpt2simple.training.optimizer import FusedOptimizer, LearningRate, WarmUpSchedule

MATRIX, BIAS, NORM = "h.0.mlp.c_fc.weight", "h.0.mlp.c_fc.bias", "ln_f.weight"
SHAPES = {MATRIX: (3, 5), BIAS: (1, 5), NORM: (3,), "wte.weight": (4, 3)}
RATE, DECAY = 0.01, 0.1


def start():
    draw = np.random.default_rng(0)
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def gradients_of(step):
    draw = np.random.default_rng(100 + step)
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def reference(kind, clip_norm, steps):
    """PyTorch's formulas (torch.optim.AdamW, Adam, SGD; torch.nn.utils.clip_grad_norm_) in float64."""
    weights = {name: value.astype(np.float64) for name, value in start().items()}
    m = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    v = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    for step in range(1, steps + 1):
        gradients = {name: g.astype(np.float64) for name, g in gradients_of(step).items()}
        length = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        factor = min(clip_norm / (length + 1e-6), 1.0) if clip_norm else 1.0
        for name, gradient in gradients.items():
            g = gradient * factor
            if kind == "sgd":
                weights[name] -= RATE * g
                continue
            if kind == "adamw" and name in (MATRIX, "wte.weight"):
                weights[name] *= 1 - RATE * DECAY
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.999 * v[name] + 0.001 * g**2
            corrected_m, corrected_v = m[name] / (1 - 0.9**step), v[name] / (1 - 0.999**step)
            weights[name] -= RATE * corrected_m / (np.sqrt(corrected_v) + 1e-8)
    return weights, m, v


def optimizer_of(kind, clip_norm=0.0, rate=RATE):
    variables = {name: tf.Variable(value) for name, value in start().items()}
    schedule = rate if isinstance(rate, WarmUpSchedule) else WarmUpSchedule(rate, 0, "constant", None)
    rate = LearningRate(schedule)
    return variables, FusedOptimizer(variables, kind=kind, rate=rate, weight_decay=DECAY, clip_norm=clip_norm)


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("clip_norm", [0.0, 1.0, 1000.0])
def test_five_steps_equal_the_formulas(kind, clip_norm):
    variables, optimizer = optimizer_of(kind, clip_norm)
    for step in range(1, 6):
        flat = {name: tf.constant(g.reshape(-1) if name == BIAS else g) for name, g in gradients_of(step).items()}
        norm, finite = optimizer.step(flat, tf.constant(1.0))
        assert bool(finite)
    length = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gradients_of(5).values()))
    assert float(norm) == pytest.approx(length, rel=1e-6), "the norm told is the one before clipping"
    weights, m, v = reference(kind, clip_norm, 5)
    for name, variable in variables.items():
        np.testing.assert_allclose(variable, weights[name], rtol=2e-6, atol=2e-6)
        if kind != "sgd":
            np.testing.assert_allclose(optimizer.state()[f"m/{name}"], m[name], rtol=1e-5, atol=1e-7)
            # 1 - 0.999 in float32 is off by 1.3e-5
            np.testing.assert_allclose(optimizer.state()[f"v/{name}"], v[name], rtol=2e-5, atol=1e-8)
    assert int(optimizer.iterations) == 5
    assert len(optimizer.state()) == (0 if kind == "sgd" else 2 * len(SHAPES))


def test_the_first_adam_step_is_the_learning_rate_for_any_gradient():
    """Bias correction in float32 must not lose the digits of 1 - 0.999: the step is exactly RATE x sign."""
    variables, optimizer = optimizer_of("adam")
    before = variables[MATRIX].numpy()
    optimizer.step({name: tf.constant(g) for name, g in gradients_of(1).items()}, tf.constant(1.0))
    expected = -RATE * np.sign(gradients_of(1)[MATRIX])
    np.testing.assert_allclose(variables[MATRIX].numpy() - before, expected, rtol=1e-4)


def test_scaled_gradients_are_scaled_back():
    results = []
    for scale in (1.0, 2.0**15):
        variables, optimizer = optimizer_of("adamw", 1.0)
        scaled = {name: tf.constant(g * np.float32(scale)) for name, g in gradients_of(1).items()}
        norm, _ = optimizer.step(scaled, tf.constant(scale))
        results.append((float(norm), variables[MATRIX].numpy()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_bad_number_in_one_gradient_leaves_everything_as_it_was(bad):
    variables, optimizer = optimizer_of("adamw", 1.0)
    gradients = gradients_of(1)
    gradients[NORM][1] = bad
    _, finite = optimizer.step({name: tf.constant(g) for name, g in gradients.items()}, tf.constant(1.0))
    assert not bool(finite)
    assert int(optimizer.iterations) == 0
    for name, value in start().items():
        np.testing.assert_array_equal(variables[name], value)
        assert not optimizer.state()[f"m/{name}"].numpy().any()


def test_gradients_in_16_bits_are_taken():
    variables, optimizer = optimizer_of("adamw", 1.0)
    exact, other = optimizer_of("adamw", 1.0)
    rounded = {name: tf.cast(g, tf.bfloat16) for name, g in gradients_of(1).items()}
    optimizer.step(rounded, tf.constant(1.0))
    other.step({name: tf.cast(g, tf.float32) for name, g in rounded.items()}, tf.constant(1.0))
    for name in SHAPES:
        np.testing.assert_array_equal(variables[name], exact[name])


@pytest.mark.parametrize(
    ("shape", "warmup", "last", "expected"),
    [
        ("constant", 0, None, {0: 1.0, 5: 1.0, 10_000: 1.0}),
        ("constant", 4, None, {0: 0.25, 1: 0.5, 2: 0.75, 3: 1.0, 4: 1.0, 99: 1.0}),
        ("linear", 0, 10, {0: 1.0, 5: 0.5, 9: 0.1, 10: 0.0, 12: 0.0}),
        ("linear", 2, 12, {0: 0.5, 1: 1.0, 2: 1.0, 7: 0.5, 11: 0.1, 12: 0.0}),
        ("cosine", 0, 10, {0: 1.0, 5: 0.5, 10: 0.0}),
        ("cosine", 10, 40, {4: 0.5, 9: 1.0, 20: 0.75, 25: 0.5, 30: 0.25, 40: 0.0}),
        ("linear", 4, None, {0: 0.25, 4: 1.0, 100: 1.0}),
        ("linear", 10, 5, {0: 0.1, 4: 0.5}),
    ],
)
def test_the_learning_rate_of_the_step_after_so_many(shape, warmup, last, expected):
    schedule = WarmUpSchedule(2.0, warmup, shape, last)
    for done, share in expected.items():
        assert float(schedule(tf.constant(done))) == pytest.approx(2.0 * share, abs=1e-6), f"after {done}"


def test_the_schedule_follows_the_steps_made():
    variables, optimizer = optimizer_of("sgd", rate=WarmUpSchedule(0.5, 2, "constant", None))
    for expected in (0.25, 0.5, 0.5):
        assert float(optimizer.rate_of_next_step()) == expected
        before = variables[NORM].numpy()
        optimizer.step({name: tf.constant(g) for name, g in gradients_of(1).items()}, tf.constant(1.0))
        np.testing.assert_allclose(before - variables[NORM].numpy(), expected * gradients_of(1)[NORM], rtol=1e-4)


def test_a_schedule_can_be_made_again_from_its_configuration():
    schedule = WarmUpSchedule(2.0, 10, "cosine", 40)
    again = WarmUpSchedule.from_config(schedule.get_config())
    assert float(again(20)) == float(schedule(20))


def rates_told(change):
    """The rates of five steps of a falling schedule, when a callback does something after the second."""
    schedule = WarmUpSchedule(RATE, 0, "linear", 10)
    _, optimizer = optimizer_of("adamw", rate=schedule)
    gradients = {name: tf.constant(g.reshape(-1) if name == BIAS else g) for name, g in gradients_of(1).items()}
    rates = []
    for step in range(5):
        optimizer.step(gradients, tf.constant(1.0))
        rates.append(float(optimizer.learning_rate))
        if step == 1:
            change(optimizer)
    return np.array(rates) / RATE, optimizer


def test_a_callback_that_halves_the_rate_halves_what_the_schedule_gives_from_then_on():
    """As tf_keras's ReduceLROnPlateau (a variable assigned) and Keras 3's (the attribute set) do it."""

    def by_variable(optimizer):
        keras.backend.set_value(optimizer.lr, float(keras.backend.get_value(optimizer.lr)) / 2)

    def by_attribute(optimizer):
        optimizer.learning_rate = float(optimizer.learning_rate) / 2

    for change in (by_variable, by_attribute):
        rates, optimizer = rates_told(change)
        np.testing.assert_allclose(rates, [1.0, 0.9, 0.4, 0.35, 0.3], rtol=1e-6)
        assert float(optimizer.rate.factor()) == 0.5


def test_without_a_callback_the_rate_is_exactly_the_schedules():
    rates, optimizer = rates_told(lambda _: None)
    assert float(optimizer.rate.factor()) == 1.0
    np.testing.assert_allclose(rates, [1.0, 0.9, 0.8, 0.7, 0.6], rtol=1e-6)


def steps_with(optimizer, count):
    """The rates of so many steps."""
    rates = []
    for _ in range(count):
        rates.append(float(optimizer.rate_of_next_step()))
        optimizer.step({name: tf.zeros(shape) for name, shape in SHAPES.items()}, tf.constant(1.0))
    return rates


def test_a_rate_assigned_during_the_warm_up_is_meant_for_after_it():
    """LearningRateScheduler assigns the rate that it wants before the first step: taken over that of the first of ten
    steps of warm-up, it was ten times too high from then on."""
    for assigned, factor in ((RATE, 1.0), (RATE / 2, 0.5)):
        _, optimizer = optimizer_of("sgd", rate=WarmUpSchedule(RATE, 4, "constant", None))
        assert float(optimizer.learning_rate) == pytest.approx(RATE)
        optimizer.learning_rate = assigned
        expected = np.array([0.25, 0.5, 0.75, 1.0, 1.0]) * factor * RATE
        np.testing.assert_allclose(steps_with(optimizer, 5), expected, rtol=1e-6)
        assert float(optimizer.learning_rate) == pytest.approx(assigned)


@pytest.mark.parametrize("warmup", [0, 4])
@pytest.mark.parametrize("before", [0, 2, 6])
def test_a_factor_asked_for_after_the_last_step_goes_on_with_the_run(warmup, before):
    """A checkpoint written between the assignment and the next step lost it."""
    schedule = WarmUpSchedule(RATE, warmup, "linear", 10)
    _, straight = optimizer_of("sgd", rate=schedule)
    steps_with(straight, before)
    straight.learning_rate = float(straight.learning_rate) * 0.3
    kept = float(straight.rate.factor())
    assert kept == pytest.approx(0.3)
    _, resumed = optimizer_of("sgd", rate=schedule)
    resumed.iterations.assign(before)
    resumed.rate.restore(before, kept)
    assert float(resumed.learning_rate) == pytest.approx(float(straight.learning_rate)), "callbacks read it"
    assert steps_with(resumed, 4) == steps_with(straight, 4)
