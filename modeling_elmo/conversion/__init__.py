"""Published weights in and out: bilm-tf, AllenNLP, NLPL and ELMoForManyLangs."""

from .convert import convert
from .errors import ConversionError
from .export import export

__all__ = ["ConversionError", "convert", "export"]
