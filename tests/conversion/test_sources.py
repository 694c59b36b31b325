import gzip
import json
import shutil
import stat
import zipfile
from types import SimpleNamespace

import pytest
from conversion.published_bilm import make_arrays, make_options, read_arrays, write_bilm

from modeling_elmo.conversion import ConversionError, convert, export

WORDS = ["<S>", "</S>", "<UNK>", "the", "river"]
META = {"corpus": [{"language": "rus", "description": "A corpus\nof news", "tokens": 12345, "url": "https://x.org"}]}


@pytest.fixture
def published(tmp_path):
    options = make_options()
    return write_bilm(tmp_path / "published", options, make_arrays(options), WORDS)


@pytest.fixture
def archive(tmp_path, published):
    """`archive(name -> content, ...)`: a zip archive as NLPL makes them; `None` leaves a member out."""

    def make(changes=(), prefix=""):
        members = {
            "meta.json": json.dumps(META).encode(),
            "options.json": (published / "options.json").read_bytes(),
            "model.hdf5": (published / "weights.hdf5").read_bytes(),
            "vocab.txt.gz": gzip.compress((published / "vocab.txt").read_bytes()),
            "model.ckpt.index": b"not read",
            "README": b"not read",
        }
        members.update(changes)
        path = tmp_path / "model.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, content in members.items():
                if content is not None:
                    opened.writestr(prefix + name, content)
        return path

    return make


def test_a_vocabulary_with_a_date_in_its_name(tmp_path, published):
    (published / "vocab.txt").rename(published / "vocab-2016-09-10.txt")
    for number, sources in enumerate((published, [published, published / "vocab-2016-09-10.txt"])):
        checkpoint = convert(sources, tmp_path / f"dated{number}")
        assert checkpoint.tokenizer.convert_tokens_to_ids("river") == 4


def check(published, converted, tmp_path):
    export(converted, tmp_path / "exported")
    exported, original = read_arrays(tmp_path / "exported/weights.hdf5"), read_arrays(published / "weights.hdf5")
    assert {key: array.tobytes() for key, array in exported.items()} == {
        key: array.tobytes() for key, array in original.items()
    }


def test_two_files_in_any_order(tmp_path, published):
    for number, names in enumerate((["options.json", "weights.hdf5"], ["weights.hdf5", "options.json"])):
        checkpoint = convert([published / name for name in names], tmp_path / f"converted{number}")
        assert checkpoint.tokenizer.vocab_size == 3
        assert checkpoint.model.config.vocab_size == 3


def test_files_with_the_names_of_the_first_release(tmp_path, published):
    folder = tmp_path / "elmo"
    folder.mkdir()
    (published / "options.json").rename(folder / "elmo_2x11_6_15cnn_2xhighway_options.json")
    (published / "weights.hdf5").rename(folder / "elmo_2x11_6_15cnn_2xhighway_weights.hdf5")
    (folder / "embeddings.hdf5").write_bytes(b"something else")
    convert(folder, tmp_path / "converted")
    assert (tmp_path / "converted" / "model.safetensors").exists()


def test_folder_with_vocabulary(tmp_path, published):
    checkpoint = convert(published, tmp_path / "converted")
    assert checkpoint.tokenizer.convert_tokens_to_ids(WORDS) == list(range(5))
    assert checkpoint.model.config.vocab_size == 5


@pytest.mark.parametrize("prefix", ["", "140/", "../../", "/", "C:\\"])
def test_archive_wherever_its_members_say_they_lie(tmp_path, published, archive, prefix):
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    path = archive(prefix=prefix).rename(folder / "model.zip")
    before = {file for file in tmp_path.rglob("*") if file.is_file()}
    checkpoint = convert(path, folder / "converted")
    assert checkpoint.tokenizer.vocab_size == len(WORDS)
    written = {file for file in tmp_path.rglob("*") if file.is_file()} - before
    assert written and all(folder / "converted" in file.parents for file in written)
    check(published, folder / "converted", tmp_path)


def test_description_of_an_archive_goes_into_the_card(tmp_path, archive):
    convert(archive(), tmp_path / "converted")
    card = (tmp_path / "converted" / "README.md").read_text()
    assert "language:\n- rus\n" in card or "language: rus\n" in card
    assert "- A corpus of news, 12,345 tokens, https://x.org\n" in card
    assert "`model.hdf5`, sha256 `" in card


@pytest.mark.parametrize(
    "meta", [None, b"{", b"[]", b'{"corpus": 3}', b'{"corpus": ["x", {"language": 5}]}', b"[" * 10**5]
)
def test_nothing_depends_on_the_description(tmp_path, archive, meta):
    convert(archive({"meta.json": meta}), tmp_path / "converted")
    assert (tmp_path / "converted" / "README.md").exists()


def test_half_a_character_in_the_description_is_replaced(tmp_path, archive):
    convert(archive({"meta.json": b'{"corpus": [{"description": "news \\ud83d"}]}'}), tmp_path / "converted")
    assert "- news \N{REPLACEMENT CHARACTER}\n" in (tmp_path / "converted" / "README.md").read_text(encoding="utf-8")


def test_two_members_of_one_name(tmp_path, archive):
    path = archive({"other/options.json": b"{}"})
    with pytest.raises(ConversionError, match=r"model\.zip has two members named options\.json"):
        convert(path, tmp_path / "converted")


def test_archive_larger_than_the_disk(tmp_path, archive, monkeypatch):
    path = archive()
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(ConversionError, match=r"model\.zip unpacks to .* GB, but in .* 0\.0 GB are free"):
        convert(path, tmp_path / "converted")


def test_hidden_members_are_ignored(tmp_path, archive):
    convert(archive({"__MACOSX/._options.json": b"\0"}), tmp_path / "converted")


def test_link_in_an_archive_is_not_followed(tmp_path, published, archive):
    path = archive({"options.json": None})
    entry = zipfile.ZipInfo("options.json")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr(entry, str(published / "options.json"))
    with pytest.raises(ConversionError, match=r"options\.json is not a JSON file"):
        convert(path, tmp_path / "converted")


@pytest.mark.parametrize("name", ["options.json", "model.hdf5"])
def test_missing_member(tmp_path, archive, name):
    what = name.split(".")[0].replace("model", "weights")
    with pytest.raises(ConversionError, match=rf"model\.zip has no {what}"):
        convert(archive({name: None}), tmp_path / "converted")


def test_damaged_archive(tmp_path, archive):
    path = archive()
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:-100])
    with pytest.raises(ConversionError, match=r"model\.zip is no zip archive that can be read"):
        convert(path, tmp_path / "converted")
    content[content.index(b"model.hdf5") + 3000] ^= 255
    path.write_bytes(content)
    with pytest.raises(ConversionError, match=r"model\.zip is no zip archive that can be read"):
        convert(path, tmp_path / "converted")


def test_several_files_for_one_role(tmp_path, published):
    for name in ("a_weights.hdf5", "b_weights.hdf5"):
        (published / name).write_bytes((published / "weights.hdf5").read_bytes())
    (published / "weights.hdf5").unlink()
    message = r"several files for the weights: \['a_weights.hdf5', 'b_weights.hdf5'\]"
    with pytest.raises(ConversionError, match=message):
        convert(published, tmp_path / "converted")
    convert([published / "options.json", published / "b_weights.hdf5"], tmp_path / "converted")


def test_source_that_does_not_exist(tmp_path):
    with pytest.raises(ConversionError, match="nowhere does not exist"):
        convert(tmp_path / "nowhere", tmp_path / "converted")
