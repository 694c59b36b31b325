"""ELMo for Hugging Face transformers."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from tokenization_elmo import ElmoTokenizer

from .configuration_elmo import ElmoConfig
from .modeling_elmo import ElmoForPreTraining, ElmoModel, ElmoPreTrainedModel
from .modeling_elmo_coreference import ElmoForCoreferenceResolution
from .modeling_elmo_sequence_classification import ElmoForSequenceClassification

AutoConfig.register("elmo", ElmoConfig)
AutoTokenizer.register(ElmoConfig, tokenizer_class=ElmoTokenizer)
AutoModel.register(ElmoConfig, ElmoModel)
AutoModelForPreTraining.register(ElmoConfig, ElmoForPreTraining)
AutoModelForSequenceClassification.register(ElmoConfig, ElmoForSequenceClassification)

# Their code travels with every checkpoint, which then loads with trust_remote_code where this package is missing.
ElmoConfig.register_for_auto_class()
ElmoTokenizer.register_for_auto_class("AutoTokenizer")
ElmoModel.register_for_auto_class("AutoModel")
ElmoForPreTraining.register_for_auto_class("AutoModelForPreTraining")
ElmoForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
ElmoForCoreferenceResolution.register_for_auto_class("AutoModel")  # there is no Auto class of its own

__all__ = [
    "ElmoConfig",
    "ElmoForCoreferenceResolution",
    "ElmoForPreTraining",
    "ElmoForSequenceClassification",
    "ElmoModel",
    "ElmoPreTrainedModel",
    "ElmoTokenizer",
]
