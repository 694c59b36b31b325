"""The model that training begins with: a new one, or a biLM that exists, for the text of another domain or task."""

import torch
from transformers import AutoConfig, AutoTokenizer

from ..configuration_elmo import ElmoConfig, word_fields
from ..modeling_elmo_pretraining import ElmoForPreTraining
from .arguments import ModelArguments, PretrainingArguments
from .vocabulary import SPECIAL_WORDS


def make_initial_model(arguments: PretrainingArguments, tokenizer) -> ElmoForPreTraining:
    """The model over the vocabulary of `tokenizer`, of which what is `frozen` does not train."""
    if arguments.model.init_from:
        model = load_initial_model(arguments.model, tokenizer)
    else:
        model = ElmoForPreTraining(arguments.config(**word_fields(tokenizer)))
    freeze(model, arguments.training.frozen)
    if arguments.model.uniform_init is not None and not arguments.model.init_from:
        initialize_uniformly(model, arguments.model.uniform_init)
    return model


def check_initial_model(arguments: ModelArguments):
    """What is wrong with `init_from` is an error before anything long begins.

    Raises:
        OSError: it cannot be read.
        ValueError: it is another kind of model; or it has no vocabulary to keep, or one that cannot be rebuilt.
    """
    source = arguments.init_from
    if source is None:
        return
    config = AutoConfig.from_pretrained(source)
    if not isinstance(config, ElmoConfig):
        raise ValueError(f"init_from is {source}, a model of type {config.model_type}, not elmo")
    if not arguments.rebuild_vocabulary and AutoTokenizer.from_pretrained(source).vocab_size <= len(SPECIAL_WORDS):
        raise ValueError(f"{source} has no vocabulary, so that nothing can be predicted: give rebuild_vocabulary")
    if arguments.rebuild_vocabulary and config.adaptive_softmax_cutoffs is not None:
        # Its rows belong to ranks, which are other words' in another vocabulary.
        raise ValueError(f"{source} has an adaptive softmax, whose vocabulary cannot be rebuilt")


def load_initial_model(arguments: ModelArguments, tokenizer) -> ElmoForPreTraining:
    """The language models of `arguments.init_from` over the vocabulary of `tokenizer`.

    A softmax that the checkpoint lacks starts anew. With another vocabulary than the checkpoint's, words known to both
    keep their rows of the softmax and of the word embedding; new ones start at the row of the unknown word.
    """
    # Whatever it was saved in: the optimizers' steps are smaller than what float16 and bfloat16 tell apart.
    source, loading = ElmoForPreTraining.from_pretrained(
        arguments.init_from, dtype=torch.float32, output_loading_info=True
    )
    if not arguments.rebuild_vocabulary:
        return source
    options = source.config.to_diff_dict()
    for name in ("published_options", "auto_map", "architectures", "transformers_version"):
        options.pop(name, None)
    config = ElmoConfig(**options | word_fields(tokenizer))
    model = ElmoForPreTraining(config)
    old_tokenizer = AutoTokenizer.from_pretrained(arguments.init_from)
    words = tokenizer.convert_ids_to_tokens(list(range(tokenizer.vocab_size)))
    rows = torch.tensor(old_tokenizer.convert_tokens_to_ids(words)).clamp(max=source.config.vocab_size - 1)
    weights = source.state_dict()
    for name, target in model.state_dict().items():
        if name in loading["missing_keys"]:  # nothing to keep: as a new model has it
            weights[name] = target
            continue
        by_word = name.startswith("softmax.") or ".word_embeddings." in name
        weights[name] = weights[name][rows] if by_word else weights[name]
        if weights[name].shape != target.shape:
            raise ValueError(
                f"{arguments.init_from}: {name} is {tuple(weights[name].shape)}, not {tuple(target.shape)}"
            )
    model.load_state_dict(weights)
    return model


def freeze(model: ElmoForPreTraining, names: list[str]):
    """Lets the weights whose names begin so be as they are.

    Raises:
        ValueError: a beginning that no name has, or nothing is left that trains.
    """
    for name in names:
        found = [parameter for key, parameter in model.named_parameters() if f"{key}.".startswith(f"{name}.")]
        if not found:
            modules = ", ".join(key for key, _ in model.elmo.named_children())
            raise ValueError(
                f"frozen: no weight's name begins with {name!r}; parts are softmax and, of elmo, {modules}"
            )
        for parameter in found:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"frozen: {', '.join(names)} are all weights, so that nothing would train")


@torch.no_grad()
def initialize_uniformly(model: ElmoForPreTraining, bound: float):
    """What trains in U(-bound, bound); the biases of the highway layers around where they start otherwise."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.uniform_(-bound, bound)
    for module in model.modules():
        if getattr(module, "initial_bias", 0.0) and module.bias.requires_grad:
            module.bias += module.initial_bias
