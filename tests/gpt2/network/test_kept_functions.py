"""Compiled functions that are kept for the process: which, how many, and that they keep no variables."""

import gc
import weakref

import pytest

from gpt2simple.backend.tensorflow import functions_named, tf
from gpt2simple.gpt2.network.xla import Compiled, KeptFunctions


def times_two():
    return Compiled(lambda variable: variable * 2.0, ["test"], by_xla=False)


def test_the_same_key_finds_the_same_function():
    kept = KeptFunctions()
    first = kept.find("a", times_two, 1)
    assert kept.find("a", times_two, 1) is first
    assert kept.find("b", times_two, 1) is not first


@pytest.mark.parametrize(("layers", "left"), [(12, 4), (24, 2), (36, 1), (100, 1)])
def test_as_many_as_have_48_layers_are_kept_those_used_last(layers, left):
    kept = KeptFunctions()
    functions = {key: kept.find(key, times_two, layers) for key in "abcdef"}
    last = list("abcdef")[-left:]
    assert all(kept.find(key, times_two, layers) is functions[key] for key in last)
    assert kept.find("a", times_two, layers) is not functions["a"]


def test_what_is_used_again_stays():
    kept = KeptFunctions()
    first = kept.find("a", times_two, 12)
    for key in "bcdef":
        kept.find(key, times_two, 12)
        assert kept.find("a", times_two, 12) is first


def test_the_variables_of_a_call_are_not_kept_and_others_are_computed_with():
    compiled = times_two()
    first = tf.Variable(3.0)
    assert float(compiled(first)) == 6.0
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None
    assert float(compiled(tf.Variable(5.0))) == 10.0


def test_the_graph_of_a_function_that_is_forgotten_is_freed():
    kept = KeptFunctions()
    compiled = kept.find("a", times_two, 1)
    compiled(tf.Variable(1.0))
    graph = weakref.ref(compiled._concrete.graph)
    del compiled
    kept.clear()
    gc.collect()
    assert graph() is None


def test_what_is_in_a_kept_function_is_named_alike_whatever_was_made_before():
    """XLA's cache on disk finds a function by the names in it, those of its loops and branches too."""

    def step(x):
        (x,) = tf.while_loop(lambda x: tf.reduce_sum(x) < 9.0, lambda x: (x + 1.0,), (x,))
        return tf.cond(x[0] > 1.0, lambda: x, lambda: -x)

    names = []
    for time in ("1", "2"):
        with functions_named(f"kept_{time}"):
            function = tf.function(step, autograph=False).get_concrete_function(tf.TensorSpec([2]))
        library = function.graph.as_graph_def().library.function
        names.append({part.signature.name.replace(f"kept_{time}", "kept") for part in library})
        tf.function(lambda: tf.zeros([]), autograph=False).get_concrete_function()  # takes numbers
    assert len(names[0]) >= 4, "body and condition, and two branches"
    assert names[0] == names[1]
