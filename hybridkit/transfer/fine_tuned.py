"""The other way to transfer: the whole encoder is fine-tuned on one language's examples, and tested in all."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hybridkit import cross_encoders, encoders
from hybridkit.errors import KitError
from hybridkit.files import written_whole
from hybridkit.transfer.heads import EACH, MOST, check_trainable, known, scores, some
from hybridkit.transfer.tasks import Labelled, Part

if TYPE_CHECKING:
    from transformers import Trainer


def fine_tune(
    encoder: str,
    task: Labelled,
    folder: Path,
    train_language: str = "en",
    trained: Sequence[str] | None = None,
    most: int = MOST,
    epochs: int = 2,
    learning_rate: float = 2e-5,
    batch_size: int = 32,
    max_length: int = 128,
    seed: int = 0,
) -> pd.DataFrame:
    """Fine-tune an encoder (folder or id) as a classifier into a new `folder`, and give its accuracies as `heads.transfer`.

    The two texts of a pair are read together, which no frozen vector allows; the columns hypothesis only and C are left
    out. The classifier is a folder of transformers' AutoModelForSequenceClassification. A text, or a pair, is cut at
    `max_length` tokens. The dev texts are not used: the model after the last epoch is tested. KitError where `folder`
    exists, and where the task has no training texts in `train_language`.
    """
    if train_language == EACH:
        raise KitError('A classifier is fine-tuned in one language: write it in place of "each", such as en.')
    check_trainable(task, train_language)
    if folder.exists():
        raise KitError(f"{folder} is there already: name a new folder, or delete this one.")
    train = some(task.parts[train_language, "train"], most)
    with encoders.repeatable(encoder), TemporaryDirectory() as work:
        trainer = _trainer(encoder, task, epochs, learning_rate, batch_size, max_length, seed, work)
        trainer.train_dataset = _examples(trainer, train, task)
        trainer.train()
        with written_whole(folder) as stage:
            trainer.model.save_pretrained(stage)
            trainer.processing_class.save_pretrained(stage)
        rows = [
            {
                "language": code,
                "head": train_language,
                **_tested(trainer, task, code),
                "in training": known(code, trained),
            }
            for code in task.languages("test")
        ]
    return pd.DataFrame(rows)


def _trainer(encoder, task, epochs, learning_rate, batch_size, max_length, seed, work) -> "Trainer":
    """The library's trainer, with an encoder under a new classifier; its tokenizer knows how many tokens there may be."""
    import torch
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments

    torch.manual_seed(seed)  # of the new classifier's weights
    found = cross_encoders.base(encoder, max_length, labels=len(task.labels))
    model, tokenizer = found.model, found.tokenizer
    model.config.id2label = dict(enumerate(task.labels))
    model.config.label2id = {label: number for number, label in enumerate(task.labels)}
    tokenizer.model_max_length = min(max_length, found.max_seq_length)
    arguments = TrainingArguments(
        output_dir=work,
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=4 * batch_size,
        warmup_steps=0.1,  # of all steps
        weight_decay=0.01,
        seed=seed,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        log_level="error",
    )
    trainer = Trainer(model, arguments, DataCollatorWithPadding(tokenizer), processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _tested(trainer: "Trainer", task: Labelled, code: str) -> dict:
    part = task.parts[code, "test"]
    answers = trainer.predict(_examples(trainer, part, task)).predictions.argmax(axis=1)
    return scores(np.array(task.labels)[answers] == part.labels, part.labels)


def _examples(trainer: "Trainer", part: Part, task: Labelled):
    """The examples of a part as a data set of tokens and numbers of labels."""
    from datasets import Dataset

    number = trainer.model.config.label2id
    tokens = trainer.processing_class(part.texts, part.seconds, truncation=True)
    return Dataset.from_dict({**tokens, "label": [number[label] for label in part.labels.tolist()]})
