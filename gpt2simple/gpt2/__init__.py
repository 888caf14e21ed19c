"""GPT-2 itself: its config, the model, its network, its tokenizer, its files, and where they come from."""
