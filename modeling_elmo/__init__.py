"""ELMo for Hugging Face transformers."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from tokenization_elmo import ElmoTokenizer

from .configuration_elmo import ElmoConfig
from .embedding import embed, embed_file
from .modeling_elmo import ElmoForPreTraining, ElmoModel, ElmoPreTrainedModel
from .modeling_elmo_coreference import ElmoForCoreferenceResolution
from .modeling_elmo_question_answering import ElmoForQuestionAnswering
from .modeling_elmo_sequence_classification import ElmoForSequenceClassification
from .modeling_elmo_token_classification import ElmoForTokenClassification
from .scoring import score, substitutes

AutoConfig.register("elmo", ElmoConfig)
AutoTokenizer.register(ElmoConfig, tokenizer_class=ElmoTokenizer)
AutoModel.register(ElmoConfig, ElmoModel)
AutoModelForPreTraining.register(ElmoConfig, ElmoForPreTraining)
AutoModelForQuestionAnswering.register(ElmoConfig, ElmoForQuestionAnswering)
AutoModelForSequenceClassification.register(ElmoConfig, ElmoForSequenceClassification)
AutoModelForTokenClassification.register(ElmoConfig, ElmoForTokenClassification)

# Their code travels with every checkpoint, which then loads with trust_remote_code where this package is missing.
ElmoConfig.register_for_auto_class()
ElmoTokenizer.register_for_auto_class("AutoTokenizer")
ElmoModel.register_for_auto_class("AutoModel")
ElmoForPreTraining.register_for_auto_class("AutoModelForPreTraining")
ElmoForQuestionAnswering.register_for_auto_class("AutoModelForQuestionAnswering")
ElmoForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
ElmoForTokenClassification.register_for_auto_class("AutoModelForTokenClassification")
ElmoForCoreferenceResolution.register_for_auto_class("AutoModel")  # there is no Auto class of its own

__all__ = [
    "ElmoConfig",
    "ElmoForCoreferenceResolution",
    "ElmoForPreTraining",
    "ElmoForQuestionAnswering",
    "ElmoForSequenceClassification",
    "ElmoForTokenClassification",
    "ElmoModel",
    "ElmoPreTrainedModel",
    "ElmoTokenizer",
    "embed",
    "embed_file",
    "score",
    "substitutes",
]
