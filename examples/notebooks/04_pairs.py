# %% [markdown]
# # Questions and answers
#
# A GPT-2 learns from pairs, a prompt and what is to follow it. Here the prompts are words and the answers the same
# words backwards: nobody needs to judge whether an answer is right. No word is asked twice, and some are kept for the
# test: what the model gets right there it has not seen before, but worked out.
#
# With pairs of your own (questions and answers, instructions, conversations) everything below works the same.
#
# *Tested on Python 3.11 with TensorFlow 2.21 on two CPU cores. Not yet run on Colab itself: its package list of August
# 2026 was compared, and has all that is needed.*

# %%
# @title Install, and see what computes here
# include: install

ON_GPU = prepare(takes="about two minutes", sacrebleu="sacrebleu>=2.0,<3", rouge_score="rouge-score>=0.1.1")

# %%
# @title The pairs, the model, and how long
# @markdown `backwards` and `sorted` are made here; `upload` asks for a file of pairs, .jsonl or .csv. Or type a path.
# @markdown Its keys or columns: prompt and completion; or messages; or instruction, input and output.
task = "backwards"  # @param ["backwards", "sorted", "upload"] {allow-input: true}
size = "tiny"  # @param ["tiny", "124M", "355M"]
steps = 300  # @param {type: "integer"}
# @markdown `completion`: the loss is on the answers alone. `all`: the model also learns to guess the questions.
loss_on = "completion"  # @param ["completion", "all"]
# @markdown Tick to train anew when you run the training again.
start_again = True  # @param {type: "boolean"}

# %% [markdown]
# ## The pairs
#
# One JSON object on each line. Blanks make each letter a token of its own.

# %%
import random
import string


def made(answer, count, seed=0):
    """So many different words of three to seven letters, each with its answer."""
    draw = random.Random(seed)
    words = {}
    while len(words) < count:
        words["".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 7)))] = None
    return [{"prompt": " ".join(word), "completion": " ".join(answer(word))} for word in words]


tasks = {"backwards": reversed, "sorted": sorted}
for name, answer in tasks.items():
    Path(f"{name}.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in made(answer, 4000)))

pairs = chosen_file(task, **{name: f"{name}.jsonl" for name in tasks})
with open(pairs, encoding="utf-8") as file:
    print(*[next(file).strip() for _ in range(4)], sep="\n")

# %% [markdown]
# ## Train
#
# The lines between show what the model answers to the same few prompts as training goes on.

# %%
import gpt2simple

run_name = f"pairs-{loss_on}"
result = gpt2simple.finetune(
    pairs,
    model_name=size,
    run_name=run_name,
    loss_on=loss_on,
    steps=steps,
    batch_size=32,
    learning_rate=1e-3 if size == "tiny" else None,
    schedule="linear",
    eval_every=max(steps // 20, 1),
    sample_every=max(steps // 3, 1),
    print_every=max(steps // 6, 1),
    restore_from="fresh" if start_again else "latest",
    overwrite=start_again,
    seed=1,
)

# %%
result

# %% [markdown]
# ## Ask it
#
# `answer` takes the most probable token each time, up to the end that it learned. These words are in no file.

# %%
prompts = ["g p t", "p i e r", "t i l d a"]  # or your own
for prompt, said in zip(prompts, gpt2simple.answer(prompts, run_name=run_name), strict=True):
    print(f"{prompt}  ->  {said}")

# %% [markdown]
# ## How often is it right?
#
# On the pairs that were kept for the test: exact answers with their 95% interval, and how much of the others is right.
# Every prompt, reference and answer is in `answers.jsonl`.

# %%
gpt2simple.evaluate(pairs, run_name=run_name, part="test", predictions="answers.jsonl")

# %% [markdown]
# The same as a page, with a picture, and outputs from the worst to the best:

# %%
gpt2simple.report(run_name)

# %% [markdown]
# ## Take it with you
#
# The folder opens in transformers, and holds the chat template that writes prompts as the model learned them.

# %%
import shutil

shutil.rmtree("my-answerer", ignore_errors=True)  # of an earlier run of this cell
with gpt2simple.start_session(run_name=run_name) as session:
    session.save("my-answerer")
download(shutil.make_archive("my-answerer", "zip", "my-answerer"))

# %% [markdown]
# ## Try it
#
# * Take `all` for `loss_on`: the model then also learns to guess the questions, which are random letters. What does
#   that cost?
# * Take `sorted`. Which of the two is easier for it?
# * Words of nine letters are longer than any that it has read:
#   `gpt2simple.answer(["n o t e b o o k s"], run_name=run_name)`.
