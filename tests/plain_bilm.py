"""The biLM's arithmetic, word by word and step by step: what the network must give, written as plainly as can be."""

import torch


def token_vector(model, row: torch.Tensor | None, word_id: int | None = None) -> torch.Tensor:
    """The vector of one word from its character row `(characters,)` and its id."""
    config, encoder = model.config, model.token_encoder
    features = []
    if config.word_embedding_size:
        features.append(encoder.word_embeddings.weight[word_id])
    if config.character_embedding_size:
        cnn = encoder.character_cnn
        characters = cnn.character_embeddings.weight[row.long()]
        values = []
        for (width, number), convolution in zip(config.filters, cnn.convolutions, strict=True):
            windows = torch.stack([characters[at : at + width] for at in range(len(row) - width + 1)])
            responses = torch.einsum("pwd,ndw->pn", windows, convolution.weight) + convolution.bias
            assert responses.shape[1] == number
            values.append(responses.amax(0))
        values = torch.cat(values)
        values = torch.relu(values) if config.hidden_act == "relu" else torch.tanh(values)
        for highway in cnn.highways:
            carry = torch.sigmoid(highway.carry.weight @ values + highway.carry.bias)
            transformed = torch.relu(highway.transform.weight @ values + highway.transform.bias)
            values = carry * transformed + (1 - carry) * values
        features.append(values)
    vector = torch.cat(features)
    if encoder.projection is not None:
        vector = encoder.projection.weight @ vector + encoder.projection.bias
    return vector


def lstm_steps(config, layer, direction: int, inputs, hidden, cell):
    """One direction of one layer over `(steps, P)`: outputs, and the state after the last step."""
    outputs = []
    for vector in inputs:
        gates = vector @ layer.input_weight[direction] + hidden @ layer.recurrent_weight[direction]
        i, g, f, o = (gates + layer.bias[direction]).chunk(4)
        cell = torch.sigmoid(f + config.forget_bias) * cell + torch.sigmoid(i) * torch.tanh(g)
        if config.cell_clip is not None:
            cell = cell.clamp(-config.cell_clip, config.cell_clip)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        if config.projection_size is not None:
            hidden = hidden @ layer.projection_weight[direction]
            if config.projection_clip is not None:
                hidden = hidden.clamp(-config.projection_clip, config.projection_clip)
        outputs.append(hidden)
    return outputs, hidden, cell


@torch.no_grad()
def bilm_layers(model, rows=None, word_ids=None, state=None):
    """All layers of one sentence: `(num_layers + 1, words, directions * P)`, and its last state.

    `rows` (words, characters), `word_ids` (words,); `state`: hidden and cell `(layers, directions, width)`.
    """
    config = model.config
    count = len(rows if rows is not None else word_ids)
    vectors = [
        token_vector(model, None if rows is None else rows[at], None if word_ids is None else word_ids[at])
        for at in range(count)
    ]
    if state is None:
        shape = (config.num_hidden_layers, config.num_directions)
        state = [torch.zeros(*shape, width, dtype=model.dtype) for width in (config.output_size, config.cell_size)]
    last = [part.clone() for part in state]
    layers = [torch.stack([torch.cat([vector] * config.num_directions) for vector in vectors])]
    sides = []
    for direction in range(config.num_directions):
        inputs, side = vectors[::-1] if direction else vectors, []
        for index, layer in enumerate(model.lstm.layers):
            outputs, hidden, cell = lstm_steps(
                config, layer, direction, inputs, state[0][index, direction], state[1][index, direction]
            )
            last[0][index, direction], last[1][index, direction] = hidden, cell
            if config.use_residual and index > 0:
                outputs = [output + vector for output, vector in zip(outputs, inputs, strict=True)]
            inputs = outputs
            side.append(torch.stack(outputs[::-1] if direction else outputs))
        sides.append(side)
    layers += [torch.cat(parts, dim=-1) for parts in zip(*sides, strict=True)]
    return torch.stack(layers), tuple(last)
