"""A converted folder in a process in which this package cannot be imported."""

import os
import subprocess
import sys

import numpy as np
from conversion.published_bilm import PublishedBilm, make_arrays, make_options, write_bilm

from modeling_elmo.conversion import convert

WITHOUT_PACKAGE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("modeling_elmo", "tokenization_elmo"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
import numpy as np
import torch
from transformers import AutoModel, AutoModelForPreTraining, AutoTokenizer

folder, output, sentence = sys.argv[1], sys.argv[2], sys.argv[3].split(" ")
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
inputs = tokenizer(sentence, is_split_into_words=True, return_tensors="pt")
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
language_model = AutoModelForPreTraining.from_pretrained(folder, trust_remote_code=True)
with torch.no_grad():
    layers = torch.stack(model(**inputs, output_hidden_states=True).hidden_states)[:, 0]
    again = torch.stack(language_model(**inputs, output_hidden_states=True).hidden_states)[:, 0]
assert torch.equal(layers, again)
np.save(output, layers.numpy())
"""


def test_layers_without_the_package(tmp_path):
    words = ["<S>", "</S>", "<UNK>", "the", "river"]
    options = make_options()
    arrays = make_arrays(options, vocab_size=len(words), softmax=True)
    convert(write_bilm(tmp_path / "published", options, arrays, words), tmp_path / "converted")
    sentence = "the river bank ü 🙂"
    subprocess.run(
        [sys.executable, "-c", WITHOUT_PACKAGE, tmp_path / "converted", tmp_path / "layers.npy", sentence],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")},
    )
    expected = PublishedBilm(options, arrays).layers(sentence.split(" "))
    np.testing.assert_allclose(np.load(tmp_path / "layers.npy"), expected, rtol=0, atol=1e-5)
