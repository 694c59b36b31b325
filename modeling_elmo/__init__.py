"""ELMo for Hugging Face transformers."""

import transformers
from transformers import AutoConfig, AutoTokenizer

from tokenization_elmo import ElmoTokenizer

from .configuration_elmo import AUTO_MAP, ElmoConfig
from .embedding import embed, embed_file
from .modeling_elmo import ElmoModel, ElmoPreTrainedModel
from .modeling_elmo_coreference import ElmoForCoreferenceResolution
from .modeling_elmo_pretraining import ElmoForPreTraining
from .modeling_elmo_question_answering import ElmoForQuestionAnswering
from .modeling_elmo_semantic_role_labeling import ElmoForSemanticRoleLabeling
from .modeling_elmo_sequence_classification import ElmoForSequenceClassification
from .modeling_elmo_token_classification import ElmoForTokenClassification
from .onnx_export import export_onnx
from .quantization import quantize
from .scoring import score, substitutes

AutoConfig.register(ElmoConfig.model_type, ElmoConfig)
AutoTokenizer.register(ElmoConfig, tokenizer_class=ElmoTokenizer)
for _auto_class, _reference in AUTO_MAP.items():
    if _auto_class != "AutoConfig":
        getattr(transformers, _auto_class).register(ElmoConfig, globals()[_reference.partition(".")[2]])

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
    "export_onnx",
    "quantize",
    "score",
    "substitutes",
]
