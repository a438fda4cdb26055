"""The translation model: encoder, bridge, decoder, output layer.

Shapes: B batch, S source length, T target length, E embedding, F features, V vocabulary, M target
tokens.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from seq2seq.data.collate import Batch
from seq2seq.ids import PAD
from seq2seq.models.bridge import Bridge
from seq2seq.models.decoder import Decoder, DecoderState
from seq2seq.models.encoder import Encoder
from seq2seq.models.output import Output
from seq2seq.models.weights import initialize
from seq2seq.nn.attention import Memory
from seq2seq.nn.cells import errors_naming
from seq2seq.nn.initialization import scale_inputs_for_embeddings, scale_readout_for_logits
from seq2seq.recipe import Model


class TranslationModel(nn.Module):
    """An encoder-decoder RNN; the sizes are those of the vocabularies."""

    def __init__(self, options: Model, source_size: int, target_size: int) -> None:
        super().__init__()
        self.options = options
        source = nn.Embedding(source_size, options.encoder.embedding, padding_idx=PAD)
        target = source
        if options.tie != "all":
            target = nn.Embedding(target_size, options.decoder.embedding, padding_idx=PAD)
        self.encoder = Encoder(options.encoder, source)
        words = options.encoder.embedding if options.lexical else 0
        self.decoder = Decoder(options.decoder, target, options.encoder.hidden, words)
        self.bridge = Bridge(options.bridge, self.encoder.stack, self.decoder.stack)
        self.output = Output(options, target_size)
        self._initialize(options.recurrent_init, tied=options.tie != "none")
        if options.tie != "none":
            self.output.weight = target.weight

    def _initialize(self, rule: str, *, tied: bool) -> None:
        initialize(self, rule)
        for side in (self.encoder, self.decoder):
            for cell in side.stack.first():
                with errors_naming(type(cell)):
                    scale_inputs_for_embeddings(cell, side.embedding.table.embedding_dim)
        if tied:
            scale_readout_for_logits(self.decoder.readout)

    def start(self, source_BS: Tensor, lengths_B: Tensor) -> tuple[DecoderState, Memory]:
        """Encodes sources: the decoder's first state, and the memory with the attention's keys."""
        encoded = self.encoder(source_BS, lengths_B)
        memory = encoded.memory
        if not self.options.lexical:
            memory = replace(memory, words_BSE=None)
        if self.decoder.attention is not None:
            memory = self.decoder.attention.prepare(memory)
        return self.decoder.start(self.bridge(encoded.final), encoded.final[-1][0]), memory

    def forward(self, batch: Batch) -> Tensor:
        """Teacher forcing: features (M, F), one a target token; ``output`` makes them logits."""
        state, memory = self.start(batch.source_BS, batch.source_lengths_B)
        features: Tensor = self.decoder(batch.inputs_BT, state, memory, batch.where_M)
        return features
