"""Small task heads for tests."""

import torch

from modeling_elmo import (
    ElmoConfig,
    ElmoForCoreferenceResolution,
    ElmoForQuestionAnswering,
    ElmoForSemanticRoleLabeling,
    ElmoForSequenceClassification,
    ElmoForTokenClassification,
    ElmoPreTrainedModel,
)

HEADS = (
    ElmoForSequenceClassification,
    ElmoForTokenClassification,
    ElmoForQuestionAnswering,
    ElmoForSemanticRoleLabeling,
    ElmoForCoreferenceResolution,
)


def make_head(model_class: type[ElmoPreTrainedModel], noise: float = 0.05, **options) -> ElmoPreTrainedModel:
    """A head in evaluation mode; its trainable parameters are noisy, because zero biases and equal scores would hide
    mistakes."""
    torch.manual_seed(0)
    config = ElmoConfig(
        vocab_size=10,
        character_embedding_size=4,
        filters=[[1, 8], [2, 8], [3, 16]],
        num_highway_layers=1,
        cell_size=32,
        projection_size=16,
        representation_size=32,
        **{"head_hidden_size": 16, "head_dropout": 0.0, **options},
    )
    model = model_class(config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += noise * torch.randn_like(parameter)
    return model.eval()
