"""ELMo for Hugging Face transformers."""

from transformers import AutoConfig, AutoModel, AutoModelForPreTraining, AutoTokenizer

from tokenization_elmo import ElmoTokenizer

from .configuration_elmo import ElmoConfig
from .modeling_elmo import ElmoForPreTraining, ElmoModel, ElmoPreTrainedModel

AutoConfig.register("elmo", ElmoConfig)
AutoTokenizer.register(ElmoConfig, tokenizer_class=ElmoTokenizer)
AutoModel.register(ElmoConfig, ElmoModel)
AutoModelForPreTraining.register(ElmoConfig, ElmoForPreTraining)

# Their code travels with every checkpoint, which then loads with trust_remote_code where this package is missing.
ElmoConfig.register_for_auto_class()
ElmoTokenizer.register_for_auto_class("AutoTokenizer")
ElmoModel.register_for_auto_class("AutoModel")
ElmoForPreTraining.register_for_auto_class("AutoModelForPreTraining")

__all__ = ["ElmoConfig", "ElmoForPreTraining", "ElmoModel", "ElmoPreTrainedModel", "ElmoTokenizer"]
