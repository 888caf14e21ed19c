"""GPT-2 weights on disk, in every layout that is in use, as canonical names and numpy arrays.

`open_checkpoint` finds out by content which layout a folder has and reads it one tensor at a time; `write_model_folder`
writes the layout that other tools read. Knows nothing of the model class; TensorFlow and h5py are loaded only for the
layouts that need them.
"""
