# %% [markdown]
# # When does a model memorise?
#
# A model that reads the same text often enough learns it by heart. It then predicts that text ever better, and every
# other text worse: it **overfits**. This notebook lets it happen on purpose, twice:
#
# 1. one model, and texts of three lengths;
# 2. one text, and models of three sizes.
#
# Each time one picture answers the question: from which step on does it memorise? Before you run a cell, guess.
#
# *Tested on Python 3.11 with TensorFlow 2.21 on two CPU cores. Not yet run on Colab itself: its package list of August
# 2026 was compared, and has all that is needed.*

# %%
# @title Install, and see what computes here
# include: install

ON_GPU = prepare(takes="about five minutes")

# %%
# @title The text, and how long each model reads
# @markdown `play` is a short comedy. `upload` asks for a file, or type a path.
text = "play"  # @param ["play", "upload"] {allow-input: true}
steps = 240  # @param {type: "integer"}
# @markdown The models of part 2: `tiny` and two smaller ones that are made here, or `tiny`, `124M` and `355M` (2 GB).
# @markdown `auto` takes the published ones where there is a GPU.
models = "auto"  # @param ["auto", "made here", "published"]

# include: play
source = chosen_file(text, play="play.txt")
place = Path("overfitting", f"{Path(source).stem}-{steps}")  # other settings, another folder: nothing is mixed up
place.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## What it may read, and what it never sees
#
# The last tenth of the text is kept apart. On this **held-out** part all models are measured, so that their curves can
# be compared. First a check: if both parts had passages in common, the measure would be worth nothing.

# %%
import gpt2simple

whole = Path(source).read_text(encoding="utf-8")
cut = whole.rfind("\n", 0, len(whole) * 9 // 10) + 1  # at the end of a line
(place / "unseen.txt").write_text(whole[cut:], encoding="utf-8")
(place / "all.txt").write_text(whole[:cut], encoding="utf-8")

gpt2simple.check(place / "all.txt", against=place / "unseen.txt")

# %% [markdown]
# ## 1. Texts of three lengths
#
# The same model, `tiny` with 3.7 million parameters, reads the beginning of the text, then more of it, then all. A
# number of steps is given, so it does not stop by itself when the held-out loss rises: that is what we want to see.

# %%
import contextlib
import io

lengths = {}
for share in (16, 4, 1):
    part = whole[: cut // share]
    name = f"{len(part) / 1000:.0f} thousand letters".replace(" ", "-")
    lengths[name] = place / f"{name}.txt"
    lengths[name].write_text(part, encoding="utf-8")

for name, file in lengths.items():
    print(name)
    with contextlib.redirect_stderr(io.StringIO()):  # the curves say what hundreds of lines would say
        gpt2simple.finetune(
            file,
            model_name="tiny",
            run_name=name,
            checkpoint_dir=place,
            validation_file=place / "unseen.txt",
            steps=steps,
            window=128,
            batch_size=4,
            learning_rate=5e-4,
            eval_every=max(steps // 24, 1),
            sample_every=max(steps // 8, 1),
            sample_length=200,
            seed=1,
        )

# %% [markdown]
# **The picture.** Above: where the star is, the held-out text was predicted best; in the shaded part it is predicted
# worse from step to step, while the text that is read is predicted better: the model memorises. Below: how much of what
# the model writes stands word for word in the text that it read. The dotted line shows how much that is by chance.

# %%
gpt2simple.report(list(lengths), checkpoint_dir=place, destination_path=place / "lengths.html")

# %% [markdown]
# *What to look for.* The shorter the text, the sooner the star, and the steeper the rise after it. More text helps more
# than anything else: with all of it, the held-out loss falls lowest.
#
# What memorising looks like: the last samples of the model that read least. Passages of eight words and more that stand
# in its text are marked.

# %%
gpt2simple.report(next(iter(lengths)), checkpoint_dir=place).runs[0].memorisation

# %% [markdown]
# ## 2. Models of three sizes
#
# Now the text stays the same, the second of the three, and the model grows. Two models are made here with random
# weights: they know no English and no letters, only what the text teaches them. `tiny` has read books before. With a
# GPU, GPT-2 of 124 and 355 million parameters stand in their place.
#
# `compare` trains each on the same text and split, for as many tokens. It measures each **at its best step**.

# %%
published = models == "published" or (models == "auto" and ON_GPU)
shapes = {"small": {"n_layer": 2, "n_head": 2, "n_embd": 64}, "middle": {"n_layer": 4, "n_head": 4, "n_embd": 160}}
for name, shape in {} if published else shapes.items():
    if not (place / "models" / name).exists():
        made = gpt2simple.make_tokenizer(
            place / "all.txt", place / "models" / name, vocab_size=1024, n_ctx=256, **shape
        )
        print(made.summary())

sizes = ["tiny", "124M", "355M"] if published else ["small", "middle", "tiny"]
with contextlib.redirect_stderr(io.StringIO()):
    compared = gpt2simple.compare(
        list(lengths.values())[1],
        sizes,
        name="sizes",
        model_dir="models" if published else place / "models",
        checkpoint_dir=place,
        validation_file=place / "unseen.txt",
        tokens=steps * 768,
        window=128,
        batch_size=4,
        learning_rate=1e-4 if published else 1e-3,
        evaluations=24,
    )

# %%
compared

# %% [markdown]
# **The picture.** The same as above, for each size. Its scales differ, as each model has a vocabulary of its own:
# compare where the stars are, not how high. The figure above has bits per byte, which do not depend on the vocabulary.

# %%
gpt2simple.report([row.run_name for row in compared.rows], checkpoint_dir=place, destination_path=place / "sizes.html")

# %% [markdown]
# *What to look for.* A model with many parameters for each token of the text memorises sooner; one with few learns
# slowly and may never get that far. What a model knew before counts too: `tiny` begins far lower, since it need not
# learn English.
#
# ## Try it
#
# * Give it a longer text of your own. From which length on does `tiny` no longer overfit within these steps?
# * Halve `learning_rate`. Does the star come later, and is the best loss lower?
# * Add `dropout=0.1`, or `lora_rank=16`, in the first `finetune`. What changes after the star?
# * All of this as pages to keep: `lengths.html`, `sizes.html` and `sizes/compare.html` in the folder of this notebook's
#   runs.
