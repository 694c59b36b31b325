"""What lets an interrupted job go on: a note beside the unfinished file that says whose it is and how far it got."""

import hashlib
import json
from pathlib import Path

import torch
from transformers import PreTrainedModel

from ..text_files import replace_file


class ProgressNote:
    """A JSON file with the job's description and the number of sentences that are safely in the file.

    Args:
        path: of the note.
        job: all that the vectors depend on, as strings, by name.
    """

    def __init__(self, path: Path, job: dict[str, str]):
        self.path, self.job = path, job

    def read(self) -> int | None:
        """Sentences done, `None` if there is no note.

        Raises:
            ValueError: if the note is of another job, naming what differs; or damaged.
        """
        try:
            note = json.loads(self.path.read_text(encoding="utf-8"))
            theirs, sentences_done = note["job"], note["sentences_done"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.path} is damaged; remove it to begin anew, or pass --overwrite (in Python overwrite=True)"
            ) from error
        differing = sorted(key for key in theirs.keys() | self.job.keys() if theirs.get(key) != self.job.get(key))
        if differing:
            raise ValueError(
                f"{self.path}: an unfinished file was made with another {', '.join(differing)}; run that job again to "
                "go on with it, or pass --overwrite (in Python overwrite=True)"
            )
        return sentences_done

    def write(self, sentences_done: int) -> None:
        """Replaces the note in one step: it is never half-written."""
        replace_file(self.path, json.dumps({"job": self.job, "sentences_done": sentences_done}, indent=1))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def model_digest(model: PreTrainedModel) -> str:
    """SHA-256 over the weights and the configuration."""
    config = model.config.to_diff_dict()
    for key in ("_name_or_path", "architectures", "transformers_version", "dtype"):
        config.pop(key, None)
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def tokenizer_digest(tokenizer) -> str:
    """SHA-256 over the vocabulary and the options."""
    options = (tokenizer.word_splitting, tokenizer.max_characters_per_token, tokenizer.character_vocab)
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    return digest.hexdigest()
