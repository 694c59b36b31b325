"""ELMo for Hugging Face transformers."""

import transformers
from transformers import AutoConfig, AutoTokenizer

from tokenization_elmo import ElmoTokenizer

from .configuration_elmo import AUTO_MAP, ElmoConfig
from .embedding import embed, embed_file
from .modeling_elmo import ElmoForPreTraining, ElmoModel, ElmoPreTrainedModel
from .modeling_elmo_coreference import ElmoForCoreferenceResolution
from .modeling_elmo_question_answering import ElmoForQuestionAnswering
from .modeling_elmo_semantic_role_labeling import ElmoForSemanticRoleLabeling
from .modeling_elmo_sequence_classification import ElmoForSequenceClassification
from .modeling_elmo_token_classification import ElmoForTokenClassification
from .scoring import score, substitutes

# What transformers' Auto classes load; and whose code travels with every checkpoint, which then loads with
# trust_remote_code where this package is missing.
AutoConfig.register(ElmoConfig.model_type, ElmoConfig)
ElmoConfig.register_for_auto_class()
AutoTokenizer.register(ElmoConfig, tokenizer_class=ElmoTokenizer)
for _auto_class, _reference in AUTO_MAP.items():
    if _auto_class != "AutoConfig":
        _model_class = globals()[_reference.partition(".")[2]]
        getattr(transformers, _auto_class).register(ElmoConfig, _model_class)
        _model_class.register_for_auto_class(_auto_class)
for _model_class in (ElmoForCoreferenceResolution, ElmoForSemanticRoleLabeling):
    _model_class.register_for_auto_class("AutoModel")  # transformers has no Auto class for these tasks

__all__ = [
    "ElmoConfig",
    "ElmoForCoreferenceResolution",
    "ElmoForPreTraining",
    "ElmoForQuestionAnswering",
    "ElmoForSemanticRoleLabeling",
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
