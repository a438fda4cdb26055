"""The peers' settings: the sizes of ``recipe.toml`` in each one's own words."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def opennmt(pieces: Path, run: Path, size: int) -> dict[str, Any]:
    """OpenNMT-py: its two directions share ``hidden_size``, 256 each.

    Args:
        pieces: The folder that ``write_pieces`` has filled.
        run: Where the model goes.
        size: How many pieces the vocabulary has.

    Returns:
        What its YAML file holds.
    """

    def pair(split: str) -> dict[str, str]:
        sides = {"path_src": "source", "path_tgt": "target"}
        return {key: str(pieces / f"{split}.{side}") for key, side in sides.items()}

    return {
        "save_data": str(run / "data"),
        "data": {"corpus": pair("train"), "valid": pair("val")},
        "src_vocab": str(pieces / "vocab.counts"),
        "tgt_vocab": str(pieces / "vocab.counts"),
        "share_vocab": True,
        "src_vocab_size": size,
        "tgt_vocab_size": size,
        "save_model": str(run / "model"),
        "seed": 1,
        "encoder_type": "brnn",
        "decoder_type": "rnn",
        "rnn_type": "LSTM",
        "enc_layers": 1,
        "dec_layers": 1,
        "word_vec_size": 256,
        "hidden_size": 512,
        "global_attention": "general",
        "input_feed": 1,
        "share_embeddings": True,
        "dropout": [0.3],
        "attention_dropout": [0.0],
        "label_smoothing": 0.1,
        "batch_type": "tokens",
        "batch_size": 2048,
        "normalization": "tokens",
        "bucket_size": 29000,
        "num_workers": 0,
        "optim": "adam",
        "learning_rate": 0.002,
        "decay_method": "none",
        "max_grad_norm": 1.0,
        "start_decay_steps": 1_000_000,
        "model_dtype": "fp32",
        "report_every": 10,
        "valid_steps": 1_000_000,
        "save_checkpoint_steps": 25,
        "keep_checkpoint": 2,
        "train_steps": 1_000_000,
    }


def joeynmt(pieces: Path, run: Path, tokenizer: Path) -> dict[str, Any]:
    """JoeyNMT: ``plateau`` and no scheduling both fail, so an exponential one that does nothing.

    Args:
        pieces: The folder that ``write_pieces`` has filled.
        run: Where the model goes.
        tokenizer: The SentencePiece model.

    Returns:
        What its YAML file holds.
    """

    def side(language: str) -> dict[str, Any]:
        return {
            "lang": language,
            "max_length": 100,
            "lowercase": False,
            "level": "bpe",
            "voc_file": str(pieces / "vocab"),
            "tokenizer_type": "sentencepiece",
            "tokenizer_cfg": {"model_file": str(tokenizer), "alpha": 0.0},
        }

    return {
        "name": "bench",
        "joeynmt_version": "2.3.0",
        "model_dir": str(run / "model"),
        "use_cuda": False,
        "fp16": False,
        "random_seed": 1,
        "data": {
            "train": str(pieces / "train.plain"),
            "dev": str(pieces / "val.plain"),
            "dataset_type": "plain",
            "src": side("source"),
            "trg": side("target"),
        },
        "testing": {
            "beam_size": 5,
            "beam_alpha": 1.0,
            "batch_size": 64,
            "batch_type": "sentence",
            "eval_metrics": ["bleu"],
            "max_output_length": 100,
        },
        "training": {
            "optimizer": "adam",
            "scheduling": "exponential",
            "decrease_factor": 1.0,
            "learning_rate": 0.002,
            "learning_rate_min": 0.0001,  # what JSON writes as 1e-07 is text to YAML
            "clip_grad_norm": 1.0,
            "loss": "crossentropy",
            "label_smoothing": 0.1,
            "batch_size": 2048,
            "batch_type": "token",
            "normalization": "tokens",
            "epochs": 1000,
            "updates": 1_000_000,
            "validation_freq": 1_000_000,
            "logging_freq": 10,
            "early_stopping_metric": "ppl",
            "overwrite": True,
            "shuffle": True,
            "keep_best_ckpts": 1,
        },
        "model": {
            "initializer": "xavier_uniform",
            "bias_initializer": "zeros",
            "embed_initializer": "normal",
            "embed_init_weight": 0.1,
            "tied_embeddings": True,
            "encoder": {
                "type": "recurrent",
                "rnn_type": "lstm",
                "embeddings": {"embedding_dim": 256},
                "hidden_size": 256,
                "bidirectional": True,
                "dropout": 0.3,
                "num_layers": 1,
            },
            "decoder": {
                "type": "recurrent",
                "rnn_type": "lstm",
                "embeddings": {"embedding_dim": 256},
                "hidden_size": 512,
                "dropout": 0.3,
                "hidden_dropout": 0.3,
                "num_layers": 1,
                "input_feeding": True,
                "init_hidden": "bridge",
                "attention": "luong",
                "activation": "tanh",
            },
        },
    }
