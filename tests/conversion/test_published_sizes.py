"""The sizes in which weights were published."""

import math
import subprocess
import sys

import pytest
from conversion.published_bilm import make_arrays, make_options, write_bilm

from modeling_elmo import ElmoConfig, ElmoModel
from modeling_elmo.conversion.arrays import bilm_pieces, shapes
from modeling_elmo.conversion.checkpoint import empty_model
from modeling_elmo.conversion.options import Options, bilm_fields

FILTERS = [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]]


def published_options(cells: int, width: int, highways: int) -> dict:
    return make_options(
        dim=cells,
        projection_dim=width,
        n_highway=highways,
        filters=FILTERS,
        embedding={"dim": 16},
        cell_clip=3,
        proj_clip=3,
    )


@pytest.mark.parametrize(
    ("cells", "width", "highways", "parameters"),
    [(1024, 128, 1, 13_593_296), (2048, 256, 1, 28_027_728), (4096, 512, 2, 93_600_848)],
)
def test_number_of_parameters(tmp_path, cells, width, highways, parameters):
    config = ElmoConfig(**bilm_fields(Options(tmp_path, published_options(cells, width, highways))))
    without, with_softmax = (
        sum(map(math.prod, shapes(bilm_pieces(config, softmax)).values())) for softmax in (False, True)
    )
    assert without == parameters
    assert with_softmax - parameters == config.vocab_size * (width + 1)


def test_every_parameter_has_a_place_in_the_files(make_config):
    for options in ({}, {"character_embedding_size": 0, "word_embedding_size": 6}):
        config = make_config(representation="scalar_mix", **options)
        for softmax in (False, True):
            model = empty_model(config, softmax)
            prefix = "" if softmax else "elmo."
            names = {prefix + name for name, _ in model.named_parameters() if "combinations" not in name}
            assert {piece.parameter for piece in bilm_pieces(config, softmax)} == names
            mix = ElmoModel(config).combinations.state_dict()
            assert {key: value.tolist() for key, value in mix.items()} == {
                key: value.tolist() for key, value in model.base_model.combinations.state_dict().items()
            }


MEASURE = """
import resource, sys
from modeling_elmo.conversion import convert

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

convert(sys.argv[1], sys.argv[3])
before = peak()
convert(sys.argv[2], sys.argv[4])
print(peak() - before)
"""


@pytest.mark.slow
def test_conversion_holds_one_copy(tmp_path):
    options = make_options()
    small = write_bilm(tmp_path / "small", options, make_arrays(options))
    options = published_options(2048, 256, 1)
    large = write_bilm(tmp_path / "large", options, make_arrays(options))
    command = [sys.executable, "-c", MEASURE, small, large, tmp_path / "a", tmp_path / "b"]
    growth = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    assert growth < 1.6 * (large / "weights.hdf5").stat().st_size
