"""Learning a vocabulary shortlist from what a trained model's attention looks at.

The model reads training pairs with their translations given; the weight that a target piece puts on
a source piece counts for that pair of pieces. Memory is bounded by the pairs of pieces that are
kept, not by the corpus and not by the square of the vocabulary.

Shapes: B pairs, S source length, T target length, C pairs of pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seq2seq.data import Progress
from seq2seq.data.batching import Bounds, length_batches
from seq2seq.data.collate import Batch, collate
from seq2seq.data.dataset import Dataset, PreparedData
from seq2seq.errors import DataError, Seq2SeqError
from seq2seq.ids import EOS, UNK
from seq2seq.inference.engines.torch import load_model
from seq2seq.inference.model_folder import ModelFolder, read_published
from seq2seq.inference.shortlist import Shortlist
from seq2seq.models.translation import TranslationModel
from seq2seq.search.model import Floats, Ints
from seq2seq.text.tokenizer import Tokenizers

PER_PIECE = 30
FREQUENT = 200

_PAIRS_READ = 100_000
_PADDED_PIECES = 8192  # of a batch
_LEAST_WEIGHT = 0.1  # below it a target piece hardly looks at a source piece
_CELLS_AT_ONCE = 2**21
_MOST_CELLS = 2**24


class PieceWeights:
    """How much attention target pieces gave to source pieces, summed over pairs.

    ``key_C`` is source piece x ``target_size`` + target piece, ascending, ``weight_C`` their sums,
    and ``target_counts_V`` how often each target piece came.
    """

    def __init__(self, source_size: int, target_size: int) -> None:
        self.source_size = source_size
        self.target_size = target_size
        self.key_C: Ints = np.empty(0, dtype=np.int64)
        self.weight_C: Floats = np.empty(0)
        self.target_counts_V: Ints = np.zeros(target_size, dtype=np.int64)
        self._new: list[tuple[Ints, Floats]] = []

    def add(self, source: Ints, target: Ints, weight: Floats) -> None:
        """Counts weights."""
        self._new.append((source * self.target_size + target, weight))
        if sum(len(keys) for keys, _ in self._new) >= _CELLS_AT_ONCE:
            self.merge()

    def merge(self) -> None:
        """Sums what came; of more pairs of pieces than are kept, the lightest go."""
        keys = np.concatenate([self.key_C, *(keys for keys, _ in self._new)])
        weights = np.concatenate([self.weight_C, *(weights for _, weights in self._new)])
        self._new.clear()
        self.key_C, place = np.unique(keys, return_inverse=True)
        self.weight_C = np.bincount(place, weights).astype(np.float64)
        if len(self.key_C) > _MOST_CELLS:
            heavy = np.sort(np.argpartition(self.weight_C, -_MOST_CELLS)[-_MOST_CELLS:])
            self.key_C, self.weight_C = self.key_C[heavy], self.weight_C[heavy]

    def shortlist(self, per_piece: int, frequent: int, same: Ints) -> Shortlist:
        """Chooses the target pieces; a source piece's ``same``, if not -1, is always among them."""
        copied = np.flatnonzero(same >= 0)
        self.add(copied, same[copied], np.full(len(copied), np.inf))
        self.merge()
        order = np.argsort(-self.target_counts_V, kind="stable")[:frequent]
        always = order[self.target_counts_V[order] > 0]
        source, target = np.divmod(self.key_C, self.target_size)
        # Places on the lists are for what is not on every list anyway.
        kept = ~np.isin(target, np.append(always, (UNK, EOS)))
        source, target, weight = source[kept], target[kept], self.weight_C[kept]
        heaviest = np.lexsort((target, -weight, source))
        source, target = source[heaviest], target[heaviest]
        rank = np.arange(len(source)) - np.searchsorted(source, source)
        kept = rank < per_piece
        likely_XM = np.full((self.source_size, per_piece), EOS, dtype=np.int32)
        likely_XM[source[kept], rank[kept]] = target[kept]
        return Shortlist(likely_XM, np.sort(always).astype(np.int32), self.target_size)


def shortlist_of(
    run: str | Path, data: str | Path, *, progress: Progress | None = None
) -> Shortlist:
    """Learns a shortlist for a run from the training pairs of a prepared folder.

    The folder must have been prepared with the run's tokenizer (else ``DataError``).
    """
    prepared = PreparedData.open(Path(data))

    def read() -> tuple[ModelFolder, TranslationModel]:
        folder = ModelFolder.open(run)
        return folder, load_model(folder)

    folder, model = read_published(run, read)
    if prepared.tokenizers.digest != folder.tokenizers.digest:
        raise DataError(
            f"{data}: prepared with a different tokenizer than the model's: give the corpus that "
            f"{run} was trained on"
        )
    return learn_shortlist(model, folder.tokenizers, prepared.train, progress=progress)


def learn_shortlist(
    model: TranslationModel,
    tokenizers: Tokenizers,
    pairs: Dataset,
    *,
    per_piece: int = PER_PIECE,
    frequent: int = FREQUENT,
    most_pairs: int = _PAIRS_READ,
    progress: Progress | None = None,
) -> Shortlist:
    """Learns a shortlist from the attention of a trained model.

    Each source piece has at most ``per_piece`` target pieces, and every sentence the ``frequent``
    most frequent ones. At most ``most_pairs`` pairs are read, drawn at random.
    """
    for name, value in (("per_piece", per_piece), ("most_pairs", most_pairs)):
        if value < 1:
            raise Seq2SeqError(f"{name} is {value}; 1 or more is allowed")
    if frequent < 0:
        raise Seq2SeqError(f"frequent is {frequent}; 0 or more is allowed")
    weights = piece_weights(model, pairs, most_pairs, progress or Progress())
    return weights.shortlist(per_piece, frequent, same_pieces(tokenizers))


def piece_weights(
    model: TranslationModel, pairs: Dataset, most_pairs: int, progress: Progress
) -> PieceWeights:
    """Sums a model's attention over training pairs."""
    if model.decoder.attention is None:
        raise Seq2SeqError(
            "a vocabulary shortlist is learned from attention, and this model has none "
            "(model.decoder.attention = 'none'): do without the shortlist, or train a model with "
            "attention"
        )
    if len(pairs) == 0:
        raise DataError(f"{pairs.path}: no pairs to learn a vocabulary shortlist from")
    sums = PieceWeights(model.encoder.embedding.table.num_embeddings, model.output.out_features)
    chosen = np.arange(len(pairs))
    if len(pairs) > most_pairs:
        chosen = np.sort(np.random.default_rng(1).choice(len(pairs), most_pairs, replace=False))
    model.eval()
    progress.start("learning the shortlist", len(chosen))
    for rows in _batches(pairs, chosen):
        batch = collate(*pairs.ids(rows), backwards=model.options.decoder.reverse)
        _count(sums, batch, _attention(model, batch))
        progress.advance(len(batch))
    sums.merge()
    progress.finish()
    return sums


def same_pieces(tokenizers: Tokenizers) -> Ints:
    """Finds the target piece that is written as each source piece."""
    source, target = tokenizers.source.vocabulary, tokenizers.target.vocabulary
    place = {piece: number for number, piece in enumerate(target) if number > EOS}
    found = [place.get(piece, -1) if number > EOS else -1 for number, piece in enumerate(source)]
    return np.array(found, dtype=np.int64)


def _batches(pairs: Dataset, chosen: Ints) -> Iterator[Ints]:
    """Pairs of about equal lengths together, some thousands of neighbours at a time."""
    for start in range(0, len(chosen), 8192):
        some = chosen[start : start + 8192]
        source, target = pairs.ids(some)
        widths = np.maximum(np.diff(source.offsets), np.diff(target.offsets)) + 1
        for batch in length_batches(widths, Bounds(_PADDED_PIECES)):
            yield some[batch]


@torch.inference_mode()
def _attention(model: TranslationModel, batch: Batch) -> npt.NDArray[np.float32]:
    """The weights of every target position (B, T, S), by teacher forcing."""
    device = model.output.weight.device
    seen: list[Tensor] = []
    attention = model.decoder.attention
    assert attention is not None
    hook = attention.register_forward_hook(lambda _, given, found: seen.append(found[1]))
    try:
        state, memory = model.start(batch.source_BS.to(device), batch.source_lengths_B)
        # Of the readouts none is wanted: the weights are all there is to know.
        nowhere = torch.empty(0, dtype=torch.int64, device=device)
        model.decoder(batch.inputs_BT.to(device), state, memory, nowhere)
    finally:
        hook.remove()
    weights: npt.NDArray[np.float32] = torch.cat(seen, dim=1).float().cpu().numpy()
    return weights


def _count(sums: PieceWeights, batch: Batch, weights_BTS: npt.NDArray[np.float32]) -> None:
    source_BS, labels_BT = batch.source_BS.numpy(), batch.labels_BT.numpy()
    real_BT = np.zeros(labels_BT.size, dtype=np.bool_)
    real_BT[batch.where_M.numpy()] = True
    weights_BTS = weights_BTS * real_BT.reshape(labels_BT.shape)[:, :, None]
    row, time, place = np.nonzero(weights_BTS >= _LEAST_WEIGHT)
    sums.add(
        source_BS[row, place],
        labels_BT[row, time],
        weights_BTS[row, time, place].astype(np.float64),
    )
    sums.target_counts_V += np.bincount(batch.labels().numpy(), minlength=sums.target_size)
