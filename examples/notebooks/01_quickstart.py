# %% [markdown]
# # GPT-2 learns your text
#
# A GPT-2 reads a text of yours again and again until it writes like it. Part of the text is kept hidden from it: how
# well it predicts that part tells whether it learned how the text goes, or learned the text by heart.
#
# Run the cells from top to bottom. Without any change a small model, `tiny`, learns a short play, on any computer;
# nothing large is downloaded. Then choose your own text and a larger model in the form. Every cell can be run again.
#
# *Tested on Python 3.11 with TensorFlow 2.21 on two CPU cores. Not yet run on Colab itself: its package list of August
# 2026 was compared, and has all that is needed.*

# %%
# @title 1. Install, and see what computes here
# include: install

ON_GPU = prepare(takes="about two minutes")

# %%
# @title 2. Your text, the model, and how long
# @markdown `play` is a short comedy; `upload` asks for a file: .txt, .md, .csv, .jsonl, .parquet, or a .zip of these.
# @markdown Or type a path; one that begins with `/content/drive/` is on your Google Drive.
text = "play"  # @param ["play", "upload"] {allow-input: true}
# @markdown `tiny` is inside the package; `124M` and `355M`, of OpenAI, are 0.5 and 1.5 GB to download and want a GPU.
size = "tiny"  # @param ["tiny", "124M", "355M"]
# @markdown 0: until the hidden part of the text is no longer predicted better.
steps = 150  # @param {type: "integer"}
# @markdown How the samples below begin.
beginning = "AGNES"  # @param {type: "string"}
# @markdown Tick to train anew when you run the next cell again; otherwise it goes on where it stopped.
start_again = True  # @param {type: "boolean"}

# include: play
source = chosen_file(text, play="play.txt")

# %% [markdown]
# ## Train
#
# The blue curve is the loss on what the model reads, the orange one on the part that it never sees; lower is better.
# While both fall, the model is learning. Where the orange one turns up, it has begun to memorise; the best step is kept
# and used.

# %%
import gpt2simple

result = gpt2simple.finetune(
    source,
    model_name=size,
    run_name="my-text",
    steps=steps or None,
    learning_rate=1e-3 if size == "tiny" else None,  # a small model learns well at ten times the usual rate
    restore_from="fresh" if start_again else "latest",
    overwrite=start_again,
    sample_every=50,
    print_every=50,
    seed=1,
)

# %%
result

# %% [markdown]
# ## What it writes
#
# A low temperature gives safe and repetitive text, a high one surprising text with more mistakes. The same seed gives
# the same texts.

# %%
gpt2simple.generate(run_name="my-text", prefix=beginning, length=120, temperature=0.8, top_k=40, nsamples=3, seed=1)

# %% [markdown]
# ## Did it learn, or memorise?
#
# The verdict on the curves, what to try next, and how much of what it wrote stands word for word in the text. The page
# that is named below it has all of this, the samples with copied passages marked, and every setting.

# %%
gpt2simple.report("my-text")

# %% [markdown]
# ## Take it with you
#
# The model as a folder that this package and transformers (PyTorch) open, packed into one file:
#
# ```python
# from transformers import pipeline
# pipeline("text-generation", model="my-model")("AGNES\n")
# ```

# %%
import shutil

shutil.rmtree("my-model", ignore_errors=True)  # of an earlier run of this cell
with gpt2simple.start_session(run_name="my-text") as session:
    session.save("my-model")
download(shutil.make_archive("my-model", "zip", "my-model"))

# %% [markdown]
# ## Next
#
# * Your own text: choose `upload` in the form, and run the cells below it again.
# * A GPU: *Runtime, Change runtime type, T4 GPU*; then take `124M`.
# * [When does a model memorise?](02_overfitting.ipynb) Texts of three lengths, models of three sizes.
# * [Tell classes of texts apart](03_classifying.ipynb), or [answer questions](04_pairs.ipynb).
