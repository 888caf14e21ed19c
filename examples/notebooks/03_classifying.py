# %% [markdown]
# # Tell classes of texts apart
#
# A GPT-2 learns to say to which of two classes a text belongs. Two questions are made here from a play, or you give
# your own table:
#
# * **order**: did somebody say this sentence, or were its words shuffled? Both have the same words, so counting words
#   cannot help. A model that knows English has an advantage.
# * **speaker**: who says it, AGNES or TILDA? Here the words themselves say most of what there is to know.
#
# Each figure has its interval, and stands beside a bag of words and beside the same model without what it knew before.
# Only where a test shows it, one is called better.
#
# *Tested on Python 3.11 with TensorFlow 2.21 on two CPU cores. Not yet run on Colab itself: its package list of August
# 2026 was compared, and has all that is needed.*

# %%
# @title Install, and see what computes here
# include: install

ON_GPU = prepare(takes="about two minutes", sklearn="scikit-learn")

# %%
# @title The question, the model, and how long
# @markdown `order` and `speaker` are explained above; `upload` asks for a table: .csv, .tsv, .jsonl or .parquet.
# @markdown It has a column of texts and a column named label. Or type a path.
question = "order"  # @param ["order", "speaker", "upload"] {allow-input: true}
size = "tiny"  # @param ["tiny", "124M", "355M"]
epochs = 6  # @param {type: "integer"}
# @markdown Tick to train anew when you run the training again.
start_again = True  # @param {type: "boolean"}

# include: play

# %% [markdown]
# ## The labelled texts
#
# A table with a row for each text. Sentences lose their capitals and points, so that only the order of words is left to
# tell shuffled ones by; no sentence is there twice, once in each way.

# %%
import csv
import random


play = Path("play.txt").read_text(encoding="utf-8")


def order():
    """Sentences of four to sixteen words, every second one shuffled."""
    draw = random.Random(1)
    kept = {}
    for sentence in re.split(r"[.!?\n]", play):
        words = re.findall(r"[\w'-]+", sentence.lower())
        if 4 <= len(words) <= 16 and not sentence.isupper():
            kept[" ".join(words)] = words
    for number, (sentence, words) in enumerate(kept.items()):
        shuffled = draw.sample(words, len(words))
        yield (sentence, "as said") if number % 2 else (" ".join(shuffled), "shuffled")


def speaker():
    """What AGNES and TILDA say, speech by speech."""
    for speech in re.split(r"\n\n+", play):
        name, _, words = speech.partition("\n")
        if name in ("AGNES", "TILDA") and words:
            yield " ".join(words.split()), name


table = chosen_file(question, order="order.csv", speaker="speaker.csv")
for name, make in (("order.csv", order), ("speaker.csv", speaker)):
    with open(name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *make()])
with open(table, encoding="utf-8") as file:
    print(*[next(file).strip() for _ in range(7)], sep="\n")

# %% [markdown]
# ## Train
#
# Three parts: one trains the model, one (validation) decides which step is best, and one is kept for the test at the
# end. With so few texts a quarter is tested on, or the interval would be too wide to say anything. `control=True`
# trains a second time, from random weights: the difference is what the model brought along.

# %%
import gpt2simple

settings = {"validation_split": 0.15, "test_split": 0.25}
result = gpt2simple.finetune_classifier(
    table,
    model_name=size,
    run_name="classes",
    control=True,
    epochs=epochs,
    batch_size=8,
    restore_from="fresh" if start_again else "latest",
    overwrite=start_again,
    print_every=50,
    seed=1,
    **settings,
)

# %% [markdown]
# ## How good is it?
#
# The test part, which it never saw. The **95% interval** says where the accuracy would lie on many other texts of this
# kind. An accuracy without it says little: with 100 texts, 80% may well be 71% or 87%.

# %%
result

# %% [markdown]
# The same as a page, with a picture: which class is taken for which, and whether its probabilities can be believed (on
# the diagonal, 80% certain means right in 80 of 100 cases). The page also lists the most confident mistakes.

# %%
gpt2simple.report("classes")

# %% [markdown]
# ## Use it

# %%
found = gpt2simple.classify(
    ["the dog has eaten the second act", "act the eaten has second dog the", "seven eight if you count the teapot"],
    run_name="classes",
)
for one in found:
    print(f"{one.label:>10} {one.probability:4.0%}  {one.text}")

# %% [markdown]
# ## Take it with you
#
# The folder opens in transformers as a `GPT2ForSequenceClassification` with the names of its labels.

# %%
import shutil

shutil.rmtree("my-classifier", ignore_errors=True)  # of an earlier run of this cell
with gpt2simple.start_session(run_name="classes") as session:
    session.save("my-classifier")
download(shutil.make_archive("my-classifier", "zip", "my-classifier"))

# %% [markdown]
# ## Try it
#
# * Take `speaker` in the form and run the cells below it again. Is the model better than the bag of words? What do the
#   intervals say?
# * Look at the accuracy on what it learned from: `gpt2simple.evaluate(table, run_name="classes", part="train")`. How
#   far is it from the test, and why?
# * Compare models: `gpt2simple.compare_classifiers(table, ["tiny", "124M"])`.
