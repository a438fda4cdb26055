"""Fine-tuning: what is taken, what is refused, and that forgetting is measured."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file
from support.published import weights_file
from support.quickstart import pairs
from support.tiny import tiny_recipe, write_recipe
from support.told import Told

import seq2seq
from seq2seq.data.arrow import SCHEMA, writer
from seq2seq.data.dataset import PreparedData
from seq2seq.errors import DataError, ModelError, RecipeError, Seq2SeqError
from seq2seq.inference.engines.torch import load_model
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.metrics import bleu
from seq2seq.recipe.data import Sampling
from seq2seq.recipe.files import checked, load_recipe
from seq2seq.recipe.training import Validation
from seq2seq.report.record import RunRecord
from seq2seq.storage.atomic import file_digest
from seq2seq.storage.checked_json import SUM, dumps
from seq2seq.tasks import task_for
from seq2seq.training.evaluation import Evaluator
from seq2seq.training.finetuning import adapted, prepared_with
from seq2seq.training.finetuning.source_model import SourceModel, Transfer
from seq2seq.training.monitoring import Silent
from seq2seq.training.precision import resolve_precision

Json = dict[str, Any]

DOMAIN = """
name = "domain"

[data]
train = ["d.en", "d.de"]
val = ["dv.en", "dv.de"]

[training]
updates = 6
batch_tokens = 300
learning_rate = 1e-2
schedule = "constant"
checkpoint_every = 2

[training.validation]
every = 3
"""


def write_domain(folder: Path) -> Path:
    """The quickstart's first questions, as a domain."""
    for split, name, count in (("train", "d", 60), ("val", "dv", 12)):
        chosen = list(islice((pair for pair in pairs(split) if pair[0].endswith("?")), count))
        for side, language in enumerate(("en", "de")):
            lines = "".join(pair[side] + "\n" for pair in chosen)
            (folder / f"{name}.{language}").write_text(lines, encoding="utf-8", newline="\n")
    path = folder / "domain.toml"
    path.write_text(DOMAIN, encoding="utf-8", newline="\n")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a general run that publishes an average, and a domain's recipe."""
    folder = tmp_path_factory.mktemp("finetune")
    options = ["training.epochs=1", "training.average={kind='ema', decay=0.9}"]
    recipe = tiny_recipe(folder, [*options, "model.encoder.dropout=0.05"])
    (folder / "general").mkdir()
    seq2seq.train(recipe, folder / "general", threads=1, monitor=Silent())
    write_domain(folder)
    return folder


def update_of(place: Path) -> int:
    """The update that the general run has published."""
    return int(json.loads((place / "general/card.json").read_text(encoding="utf-8"))["update"])


def tuned(place: Path, run: Path, *assignments: str, **more: Any) -> tuple[Told, Any]:
    heard = Told()
    recipe = load_recipe(str(place / "domain.toml"), assignments)
    options = {"init_from": place / "general", "threads": 1, "monitor": heard, **more}
    return heard, seq2seq.train(recipe, run, **options)


def records(run: Path, kind: str) -> list[Json]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [one for one in map(json.loads, lines) if one["kind"] == kind]


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    """A fine-tuned run that was never interrupted."""
    tuned(place, place / "run")
    return place / "run"


def test_the_first_weights_are_those_that_were_published(place: Path, tmp_path: Path) -> None:
    heard, result = tuned(
        place, tmp_path / "run", "training.learning_rate=1e-30", "training.updates=2",
        "training.average={kind='ema', decay=0.9}", "training.keep_checkpoints=9",
    )  # fmt: skip
    general = load_file(weights_file(place / "general"))
    last_of_general = load_file(place / "general" / "last" / "model.safetensors")
    assert any(not torch.equal(general[name], last_of_general[name]) for name in general)
    for group in ("model", "average"):
        first = load_file(tmp_path / "run/checkpoints/update-00000000" / f"{group}.safetensors")
        assert general.keys() == first.keys()
        assert all(torch.equal(general[name], first[name]) for name in general)
    assert result.updates == 2
    count = sum(weight.numel() for weight in general.values())
    begun = f"starting with {place / 'general'} (update {update_of(place)}): "
    told = f"{len(general)} of {len(general)} tensors, {count:,} of {count:,} parameters taken"
    assert heard.about("starting with") == [begun + told]


def test_both_sets_are_measured_and_the_old_one_is_what_the_first_run_measured(
    place: Path, run: Path
) -> None:
    validations = records(run, "validation")
    assert [one["update"] for one in validations] == [0, 3, 6]
    there = ModelFolder.open(place / "general")
    model = load_model(there)
    old, new = PreparedData.open(place / "general/data"), PreparedData.open(run / "data")
    recipe = load_recipe(str(run / "recipe.toml"))
    count = {"training": recipe.training.model_copy(update={"validation": Validation(lines=4)})}
    of_general = recipe.model_copy(update=count)
    for found, held, by in (
        (validations[0], new.val, recipe),
        (validations[0]["old"], old.val, of_general),
    ):
        precision = resolve_precision(by.training.precision, torch.device("cpu"))
        evaluator = Evaluator(task_for(by), by, new.tokenizers, precision)
        total, tokens = evaluator.loss(model, held)
        assert found["loss"] == pytest.approx(total / tokens, rel=1e-5)
        hypotheses = evaluator.predictions(model, held)
        _, references = held.texts(np.arange(len(hypotheses)))
        assert found["bleu"] == pytest.approx(bleu(hypotheses, references))
    card = json.loads((run / "card.json").read_text(encoding="utf-8"))
    best = next(one for one in validations if one["update"] == card["update"])
    assert card["validation"]["old"] == best["old"]
    # By the same lines and the same limits the first run had measured the same weights.
    first = json.loads((place / "general/card.json").read_text(encoding="utf-8"))["validation"]
    for key in ("loss", "bleu"):
        assert validations[0]["old"][key] == first[key]
    assert RunRecord.read(run).of_kind("validation")[0]["old"] == validations[0]["old"]


def test_the_page_and_the_card_say_where_it_is_from_and_no_path(place: Path, run: Path) -> None:
    card = json.loads((run / "card.json").read_text(encoding="utf-8"))
    init = records(run, "init")
    assert len(init) == 1
    assert init[0]["run"] == str(place / "general")
    stored = json.loads((run / "run.json").read_text(encoding="utf-8"))["init"]
    assert {"kind": "init", "update": 0, **stored} == init[0]
    assert card["init"]["from"] == "general"
    assert card["init"]["of_update"] == update_of(place)
    assert str(place) not in json.dumps(card)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert f"begun with the weights of …/general, update {update_of(place)}: " in page
    assert "BLEU, old set" in page
    assert ">old BLEU</th>" in page
    assert str(place) not in page


def test_tokenizer_and_open_keys_are_the_first_runs_and_given_ones_are_not(
    place: Path, run: Path
) -> None:
    general = load_recipe(str(place / "general" / "recipe.toml"))
    ours = load_recipe(str(run / "recipe.toml"))
    assert ours.model == general.model
    assert ours.model.encoder.dropout == 0.05
    assert ours.translation == general.translation
    assert ours.training.validation.lines is None
    assert general.training.validation.lines == 4
    assert ours.tokenizer.model == str(place / "general" / "tokenizer.model")
    assert ours.tokenizer.vocab_size == 150
    for folder in (run, run / "data"):
        there = (place / "general" / "tokenizer.model").read_bytes()
        assert (folder / "tokenizer.model").read_bytes() == there


def test_new_layers_start_fresh_and_everything_is_told(place: Path, tmp_path: Path) -> None:
    layers = ["model.decoder.layers=2", "model.decoder.attention=general", "training.updates=1"]
    heard, _ = tuned(place, tmp_path / "run", *layers)
    init = records(tmp_path / "run", "init")[0]
    general = load_file(weights_file(place / "general"))
    first = load_file(tmp_path / "run/checkpoints/update-00000000/model.safetensors")
    # By hand: what has the same name and shape in both files.
    same = [n for n in first if n in general and first[n].shape == general[n].shape]
    assert sorted(init["taken"]) == sorted(same)
    assert all(torch.equal(first[name], general[name]) for name in same)
    assert sorted(init["fresh"]) == sorted(first.keys() - general.keys())
    assert "decoder.stack.layers.1.0.weight_ih" in init["fresh"]
    assert set(init["reshaped"]) == first.keys() - {*same, *init["fresh"]}
    assert init["reshaped"]["decoder.readout.weight"] == [[12, 16], [12, 32]]
    assert init["left"] == []
    assert init["differing"] == {
        "model.decoder.layers": [1, 2],
        "model.decoder.attention": ["none", "general"],
    }
    [line] = heard.about("starting with")
    assert line.startswith("warning: ")
    assert f"{len(same)} of {len(first)} tensors" in line
    assert "; of another shape: decoder.readout.weight; " in line
    assert line.endswith(
        "; model.decoder.layers is 1 there and 2 here; "
        "model.decoder.attention is 'none' there and 'general' here"
    )


def test_a_shared_weight_is_found_by_each_of_its_names(place: Path) -> None:
    origin = SourceModel.read(place / "general")  # shares the output layer's with the decoder's
    untied = load_recipe(str(place / "general/recipe.toml"), ["model.tie=none"])
    taken = Transfer.by(untied, origin)
    assert taken.whole
    assert "output.weight" in taken.taken
    assert taken.left == ()
    shared = origin.weights["output.weight"], origin.weights["decoder.embedding.table.weight"]
    assert torch.equal(*shared)
    tied = Transfer.by(load_recipe(str(place / "general/recipe.toml"), ["model.tie=all"]), origin)
    assert tied.left == ("decoder.embedding.table.weight", "output.weight")


def test_nothing_that_fits_is_an_error_that_compares_the_tables(
    place: Path, tmp_path: Path
) -> None:
    sizes = [f"model.{side}={{embedding=10, hidden=14}}" for side in ("encoder", "decoder")]
    with pytest.raises(ModelError) as caught:
        tuned(place, tmp_path / "run", *sizes)
    assert str(caught.value) == (
        f"none of the weights of {place / 'general'} fits the recipe: "
        "model.encoder.embedding is 12 there and 10 here; model.encoder.hidden is 16 there and 14 "
        "here; model.decoder.embedding is 12 there and 10 here; model.decoder.hidden is 16 there "
        "and 14 here: leave these keys out of [model], and they are as they are there"
    )
    assert not (tmp_path / "run").exists()


def test_keys_that_do_not_go_together_are_named(place: Path, tmp_path: Path) -> None:
    keys = "model.encoder.hidden=512", "model.decoder.attention=dot"
    with pytest.raises(RecipeError) as caught:
        tuned(place, tmp_path / "run", *keys)
    assert str(caught.value) == (
        f"recipe domain, completed from {place / 'general'}: model: "
        "decoder.attention = 'dot' needs encoder.hidden = decoder.hidden, not 512 and 16; "
        "'general' takes any sizes"
    )


@pytest.mark.parametrize("prepared", [True, False])
def test_another_tokenizer_is_refused_key_by_key(
    place: Path, tmp_path: Path, prepared: bool
) -> None:
    (tmp_path / "other.model").write_bytes(b"")
    keys = [
        "tokenizer.kind=unigram",  # as it is there
        "tokenizer.sampling={alpha=0.4}",
        "tokenizer.vocab_size=4000",
        "tokenizer.byte_fallback=true",
        f"tokenizer.model={tmp_path / 'other.model'}",
    ]
    recipe, general = load_recipe(str(place / "domain.toml"), keys), place / "general"
    work = seq2seq.prepare if prepared else seq2seq.train
    with pytest.raises(RecipeError) as caught:
        work(recipe, tmp_path / "out", init_from=general)
    used = f"in {general}, whose tokenizer is used: leave the key out, or give the same"
    assert caught.value.problems == (
        f"tokenizer.vocab_size: 4000 here and 150 {used}",
        f"tokenizer.byte_fallback: true here and false {used}",
        f"tokenizer.model: {tmp_path / 'other.model'} is not the tokenizer of {general}, which is "
        "used: leave the key out",
    )
    assert not (tmp_path / "out").exists()


def test_the_tokenizer_may_be_asked_for_as_it_is(place: Path) -> None:
    general = place / "general"
    keys = ["kind=unigram", "vocab_size=150", "sampling={alpha=0.4}"]
    for more in ([], [f"model={general / 'tokenizer.model'}"]):
        given = [f"tokenizer.{key}" for key in (*keys, *more)]
        recipe = prepared_with(load_recipe(str(place / "domain.toml"), given), general)
        assert recipe.tokenizer.model == str(general / "tokenizer.model")
        assert recipe.tokenizer.sampling == Sampling(alpha=0.4)


def test_prepared_data_must_have_the_tokenizer(place: Path, tmp_path: Path) -> None:
    other = load_recipe(str(place / "domain.toml"), ["tokenizer.vocab_size=90"])
    seq2seq.prepare(other, tmp_path / "other", processes=1)
    with pytest.raises(DataError) as caught:
        tuned(place, tmp_path / "run", data=tmp_path / "other")
    assert str(caught.value) == (
        f"{tmp_path / 'other'}: its tokenizer is not the one of {place / 'general'}, byte for "
        "byte, so the weights would belong to other tokens: prepare another folder with "
        f"'seq2seq prepare RECIPE --init-from {place / 'general'} -o FOLDER', or leave --data out"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("by_hand", [False, True])
def test_preparing_first_gives_the_same_weights(
    place: Path, run: Path, tmp_path: Path, by_hand: bool
) -> None:
    recipe, options = place / "domain.toml", {"init_from": place / "general"}
    if by_hand:  # the other keys of the table are not what they were
        model = place / "general/tokenizer.model"
        recipe, options = load_recipe(str(recipe), [f"tokenizer.model={model}"]), {}
    seq2seq.prepare(recipe, tmp_path / "data", processes=1, **options)
    tuned(place, tmp_path / "run", data=tmp_path / "data")
    weights = weights_file(tmp_path / "run").read_bytes()
    assert weights == weights_file(run).read_bytes()


@pytest.mark.parametrize("name_it", [True, False])
def test_it_goes_on_without_the_first_run(
    place: Path, run: Path, tmp_path: Path, name_it: bool
) -> None:
    shutil.copytree(place, tmp_path / "place", ignore=shutil.ignore_patterns("run"))
    here = tmp_path / "place"

    class Stopping(Told):
        def step(self, step: Any) -> None:
            if step.update == 2:
                raise KeyboardInterrupt

    heard = Stopping()
    with pytest.raises(KeyboardInterrupt):
        tuned(here, here / "again", monitor=heard)
    shutil.rmtree(here / "general")
    heard, result = tuned(here, here / "again", init_from=here / "general" if name_it else None)
    assert result.finished
    assert heard.about("resuming from update 0")
    assert not heard.about("warning")
    assert len(records(here / "again", "init")) == 1
    figures = [
        [(one["update"], one["loss"], one["old"]["loss"]) for one in records(each, "validation")]
        for each in (run, here / "again")
    ]
    assert figures[0] == figures[1]
    for file in (
        weights_file(run).name,
        "last/model.safetensors",
        "last/optimizer.safetensors",
    ):
        assert (here / "again" / file).read_bytes() == (run / file).read_bytes()


def test_another_model_and_the_runs_own_folder_are_refused(
    place: Path, run: Path, tmp_path: Path
) -> None:
    general = place / "general"
    other = tmp_path / "other"
    shutil.copytree(general, other)
    assert tuned(place, run, init_from=other)[1].finished  # the same weights in another place
    options = ["training.epochs=1", "seed=2"]
    (tmp_path / "files").mkdir()
    seq2seq.train(
        tiny_recipe(tmp_path / "files", options), tmp_path / "third", threads=1, monitor=Silent()
    )
    with pytest.raises(ModelError) as caught:
        tuned(place, run, init_from=tmp_path / "third")
    assert str(caught.value) == (
        f"{run} was started with {general} (update {update_of(place)}), not with "
        f"{tmp_path / 'third'}: leave --init-from out to go on there, or give -o a new folder"
    )
    with pytest.raises(ModelError, match=f"^{general}: --init-from and the run's folder are the"):
        tuned(place, general)
    with pytest.raises(ModelError, match="was started without --init-from: leave it out to go on"):
        tuned(place, tmp_path / "third")


def test_bad_origins(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        tuned(place, tmp_path / "run", init_from=tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"no recipe\.toml, so this is not a model"):
        tuned(place, tmp_path / "run", init_from=place)
    damaged = tmp_path / "damaged"
    shutil.copytree(place / "general", damaged)
    weights = weights_file(damaged)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match="damaged: its sha256 is not the one in card"):
        tuned(place, tmp_path / "run", init_from=damaged)
    weights.unlink()
    with pytest.raises(ModelError, match=r"weights-.*: missing: copy the folder again"):
        tuned(place, tmp_path / "run", init_from=damaged)
    (damaged / "card.json").unlink()
    with pytest.raises(ModelError, match=r"an exported model has no weights\.safetensors"):
        tuned(place, tmp_path / "run", init_from=damaged)
    for graph in damaged.glob("*.onnx"):
        graph.unlink()
    with pytest.raises(ModelError, match="a run that has not reached its first validation"):
        tuned(place, tmp_path / "run", init_from=damaged)
    assert not (tmp_path / "run").exists()


def test_what_the_recipe_leaves_out_of_a_cell_is_as_it_is_there(place: Path) -> None:
    def cells(*given: str) -> list[dict[str, Any]]:
        theirs = load_recipe(
            str(place / "tiny.toml"),
            ["model.encoder.cell='gru'", "model.decoder.cell={kind='lstm', forget_bias=0.5}"],
        )
        ours = checked(load_recipe(str(place / "domain.toml"), given))
        model = adapted(ours, theirs, theirs.tokenizer.model_dump(), place).model
        return [model.encoder.cell.model_dump(), model.decoder.cell.model_dump()]

    off = {"chrono": 0, "peephole": False, "coupled": False, "layer_norm": False}
    gru, lstm = {"kind": "gru", "reset": "after"}, {"kind": "lstm", "forget_bias": 0.5, **off}
    assert cells() == [gru, lstm]
    assert cells("model.decoder.cell='lstm'") == [gru, lstm]
    assert cells("model.encoder.cell='rnn'") == [
        {"kind": "rnn", "activation": "tanh", "input_std": 0.0},
        lstm,
    ]
    assert cells("model.encoder.cell='lstm'") == [{**lstm, "forget_bias": 1.0}, lstm]
    assert cells("model.decoder.cell='gru'") == [gru, gru]


def test_the_old_set_is_found_by_the_recipe_where_the_run_has_no_data(
    place: Path, run: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "general"
    shutil.copytree(place / "general", moved, ignore=shutil.ignore_patterns("data"))
    tuned(place, tmp_path / "run", "training.updates=1", init_from=moved)
    assert (tmp_path / "run/old_val.arrow").read_bytes() == (run / "old_val.arrow").read_bytes()
    init = records(tmp_path / "run", "init")[0]
    assert init["old_val"]["from"] == f"{place / 'val.en'}, {place / 'val.de'}"


def test_an_old_set_that_is_trained_on_is_warned_of(place: Path, tmp_path: Path) -> None:
    """Who mixes the old corpus in may mix in pairs that the first run had held out."""
    old = tuple((place / f"val.{side}").read_text(encoding="utf-8") for side in ("en", "de"))
    new = tuple((place / f"d.{side}").read_text(encoding="utf-8") for side in ("en", "de"))
    count = old[0].count("\n")
    for rows, warned in ((count, True), (count // 10, False)):
        for side, theirs, ours in zip(("en", "de"), old, new, strict=True):
            lines = [*ours.splitlines(keepends=True), *theirs.splitlines(keepends=True)[:rows]]
            (tmp_path / f"mixed.{side}").write_text("".join(lines), encoding="utf-8")
        train = [str(tmp_path / f"mixed.{side}") for side in ("en", "de")]
        heard, _ = tuned(
            place, tmp_path / f"run{rows}", "training.updates=1", f"data.train={train}"
        )
        expected = (
            f"warning: {count:,} of the {count:,} pairs of the old validation set are among the "
            "training pairs: its figures are too good; name others with --old-val SOURCE TARGET"
        )
        assert heard.about("warning: ") == [expected] * warned


def test_an_old_set_elsewhere_is_not_copied(place: Path, tmp_path: Path) -> None:
    """A run from an archive may have a link to what is not its own."""
    general = tmp_path / "general"
    shutil.copytree(place / "general", general)
    real = (general / "data/val.arrow").rename(tmp_path / "elsewhere")
    (general / "data/val.arrow").symlink_to(real)
    heard, _ = tuned(place, tmp_path / "run", "training.updates=1", init_from=general)
    told = f"warning: {general / 'data/val.arrow'}: a link: put the file itself there"
    assert told in heard.lines


def made_up(path: Path) -> str:
    """Gives a set a piece that no tokenizer has; returns its new SHA-256."""
    pairs = pa.ipc.open_file(path.read_bytes()).read_all()
    field = SCHEMA.field("target_ids")
    with writer(path, SCHEMA) as file:
        ids = pa.array([[2**31 - 1]] * len(pairs), field.type)
        file.write_table(pairs.set_column(1, field, ids))
    return file_digest(path)


def test_a_made_up_old_set_is_warned_of_and_taken_from_its_files(
    place: Path, run: Path, tmp_path: Path
) -> None:
    general = tmp_path / "general"
    shutil.copytree(place / "general", general)
    manifest = general / "data/manifest.json"
    told = json.loads(manifest.read_text(encoding="utf-8"))
    told["files"]["val.arrow"] = made_up(general / "data/val.arrow")
    del told[SUM]
    manifest.write_bytes(dumps(told))
    heard, _ = tuned(place, tmp_path / "run", "training.updates=1", init_from=general)
    (warning,) = heard.about("warning: ")
    assert warning.startswith(f"warning: {general / 'data/val.arrow'}: damaged (there are pieces")
    assert (tmp_path / "run/old_val.arrow").read_bytes() == (run / "old_val.arrow").read_bytes()


def test_a_made_up_old_set_that_was_kept_is_refused(place: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy, symlinks=True)
    about = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    about["init"]["old_val"]["sha256"] = made_up(copy / "old_val.arrow")
    del about[SUM]
    (copy / "run.json").write_bytes(dumps(about))
    with pytest.raises(DataError, match=r"old_val\.arrow: damaged \(there are pieces that the"):
        tuned(place, copy)


@pytest.mark.parametrize("known", ["inputs", "report"])
def test_a_changed_old_set_is_not_used(place: Path, tmp_path: Path, known: str) -> None:
    (tmp_path / "files").mkdir()
    recipe = write_recipe(tmp_path / "files")
    general = tmp_path / "general"
    shutil.copytree(place / "general", general, ignore=shutil.ignore_patterns("data"))
    own = (general / "recipe.toml").read_text(encoding="utf-8")
    text = own.replace(str(place), str(recipe.parent))
    (general / "recipe.toml").write_text(text, encoding="utf-8")
    about = json.loads((general / "run.json").read_text(encoding="utf-8"))
    del about["own_sha256"]
    if known == "inputs":
        val = {p.replace(str(place), str(recipe.parent)): d
               for p, d in about["inputs"]["val"].items()}  # fmt: skip
        about["inputs"]["val"] = val
    else:
        del about["inputs"]
    (general / "run.json").write_text(json.dumps(about), encoding="utf-8")
    heard, _ = tuned(place, tmp_path / "same", "training.updates=1", init_from=general)
    assert not heard.about("warning")
    with (recipe.parent / "val.en").open("a", encoding="utf-8") as file:
        file.write("One more .\n")
    with (recipe.parent / "val.de").open("a", encoding="utf-8") as file:
        file.write("Noch einer .\n")
    heard, result = tuned(place, tmp_path / "run", "training.updates=1", init_from=general)
    [warning] = heard.about("warning")
    assert "val.en" in warning
    assert warning.endswith(
        f"changed since {general} used it; forgetting is not measured: give it with --old-val "
        "SOURCE TARGET"
    )
    assert result.finished
    assert "old" not in records(tmp_path / "run", "validation")[0]
    assert not (tmp_path / "run" / "old_val.arrow").exists()


def test_a_set_that_is_nowhere_is_warned_of_once_and_one_that_is_given_is_used(
    place: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("recipe.toml", "tokenizer.model"):
        shutil.copy(place / "general" / name, bare)
    shutil.copy(weights_file(place / "general"), bare / "weights.safetensors")
    text = (bare / "recipe.toml").read_text(encoding="utf-8")
    (bare / "recipe.toml").write_text(text.replace("val.", "lost."), encoding="utf-8")
    heard, _ = tuned(place, tmp_path / "run", "training.updates=1", init_from=bare)
    assert len(heard.about("warning")) == 1
    assert heard.about("the old validation set cannot be used: ")
    (bare / "recipe.toml").write_text(text, encoding="utf-8")
    heard, _ = tuned(place, tmp_path / "found", "training.updates=1", init_from=bare)
    assert heard.about("as it is now") == [
        f"the old validation set is {place / 'val.en'}, {place / 'val.de'} as it is now: {bare} "
        "does not say what it was"
    ]
    files = place / "val.en", place / "val.de"
    quick = ["training.updates=1", "training.validation.bleu=false"]
    loss = [*quick, "training.early_stopping.metric=loss"]
    heard, result = tuned(place, tmp_path / "given", *loss, init_from=bare, old_val=files)
    assert not heard.about("warning")
    assert result.start["old"]["bleu"] is None
    assert result.start["old"]["loss"] > 0
    again = tuned(place, tmp_path / "given", *loss, init_from=bare, old_val=files)[1]
    assert again.finished
    with pytest.raises(ModelError, match="was started with another old validation set"):
        tuned(place, tmp_path / "given", *loss, old_val=files[::-1], init_from=None)
    wrong = tmp_path / "no.en", tmp_path / "no.de"
    with pytest.raises(DataError, match="no such file"):
        tuned(place, tmp_path / "third", init_from=bare, old_val=wrong)
    with pytest.raises(Seq2SeqError, match=r"^--old-val needs --init-from RUN"):
        tuned(place, tmp_path / "fourth", init_from=None, old_val=files)


def test_the_same_set_is_measured_once(place: Path, tmp_path: Path) -> None:
    same = [f"data.val=['{place / 'val.en'}','{place / 'val.de'}']", "training.updates=1"]
    heard, result = tuned(place, tmp_path / "run", *same)
    assert heard.about("is the new one: it is measured once")
    assert "old" not in result.start


def test_a_damaged_old_set_is_an_error_and_a_lost_one_a_warning(place: Path, run: Path) -> None:
    kept = run / "old_val.arrow"
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=f"^{kept}: damaged or changed"):
        tuned(place, run)
    kept.unlink()
    heard, _ = tuned(place, run)
    assert heard.about(f"warning: {kept} is gone: forgetting is no longer measured")
    kept.write_bytes(content)


def test_characters_that_the_tokenizer_does_not_know_are_told(place: Path, tmp_path: Path) -> None:
    for name in ("d", "dv"):
        for language in ("en", "de"):
            lines = "".join(f"Ж {n} ω\n" for n in range(8))
            (tmp_path / f"{name}.{language}").write_text(lines, encoding="utf-8", newline="\n")
    (tmp_path / "domain.toml").write_text(DOMAIN, encoding="utf-8")
    heard = Told()
    recipe = load_recipe(str(tmp_path / "domain.toml"), ["training.updates=1"])
    seq2seq.train(recipe, tmp_path / "run", init_from=place / "general", threads=1, monitor=heard)
    told = heard.about("unknown to the tokenizer of")
    assert len(told) == 2
    report = PreparedData.open(tmp_path / "run/data").report.splits[0]
    assert f"{report.source.unknown_rate:.1%} of the pieces of the source side" in told[0]


def test_the_mean_of_the_last_weights_leaves_out_those_of_the_first_run(
    place: Path, tmp_path: Path
) -> None:
    average = "training.average={kind='last', count=5}"
    tuned(place, tmp_path / "run", average, "training.validation.every=2")
    mean = records(tmp_path / "run", "validation")[-1]
    assert mean["mean_of_updates"] == [2, 4, 6]
    assert np.isfinite(mean["old"]["loss"])


def test_separate_tokenizers_and_another_cell(place: Path, tmp_path: Path) -> None:
    """A GRU's matrices are of other shapes than an LSTM's; the rest is taken."""
    options = ["tokenizer.joint=false", "tokenizer.vocab_size=90", "training.epochs=1"]
    general = tmp_path / "general"
    seq2seq.train(tiny_recipe(tmp_path, options), general, threads=1, monitor=Silent())
    cell = ["model.decoder.cell=gru", "training.updates=1"]
    tuned(place, tmp_path / "run", *cell, init_from=general)
    for name in ("source.model", "target.model"):
        assert (tmp_path / "run" / name).read_bytes() == (general / name).read_bytes()
    init = records(tmp_path / "run", "init")[0]
    weights = list(load_file(weights_file(general)))
    cells = [name for name in weights if name.startswith("decoder.stack.layers.0.0.")]
    assert set(init["reshaped"]) | set(init["left"]) >= {one for one in cells if "weight" in one}
    assert set(weights) - set(cells) <= set(init["taken"])
    assert init["differing"] == {"model.decoder.cell.kind": ["lstm", "gru"]}


def test_an_exported_model_without_weights_is_refused(place: Path, tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    shutil.copytree(place / "general", exported)
    weights_file(exported).rename(exported / "encoder.onnx")
    (exported / "card.json").unlink()
    with pytest.raises(ModelError, match=r"an exported model has no weights\.safetensors"):
        tuned(place, tmp_path / "run", init_from=exported)


def test_a_run_that_publishes_meanwhile_is_read_again(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the card named may be gone when it is looked for: then the next card is read."""
    general = tmp_path / "general"
    shutil.copytree(place / "general", general)
    card = general / "card.json"
    whole = card.read_bytes()
    about = json.loads(whole)
    del about["own_sha256"]
    gone = json.dumps({**about, "update": 1, "weights_sha256": "0" * 64})
    card.write_text(gone)
    weights = ModelFolder.weights

    def published_before(*arguments: Any) -> Any:
        card.write_bytes(whole)
        return weights(*arguments)

    monkeypatch.setattr(ModelFolder, "weights", published_before)
    origin = SourceModel.read(general)
    assert (origin.update, origin.digest) == (update_of(place), about["weights_sha256"])
    monkeypatch.undo()
    card.write_text(gone)
    with pytest.raises(ModelError, match=r"weights-0{16}\.safetensors: missing: copy"):
        SourceModel.read(general)
