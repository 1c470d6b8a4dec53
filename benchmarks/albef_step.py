"""A training step of ALBEF at real size: seconds, images a second and peak memory. Weights are random, so no network.

    python benchmarks/albef_step.py [--batch 2] [--size 96] [--steps 3] [--tokens 32] [--queue 65536] [--small]

XLM-R base (250,002 words), ViT-B/16, six fusion layers and all losses with distillation, the slow copies of everything
and ALBEF's queue; on a GPU with bfloat16, such as `--batch 64 --size 224`. The first step, which makes the optimiser's
state, is left out of the medians. Processor seconds count where the machine does other work beside it. `--small` is a
shape of no use but to try the tool. Prints the result and keeps it in benchmarks/results/albef-<device>.json.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import torch
from transformers import ViTConfig, ViTModel, XLMRobertaConfig, XLMRobertaModel

from hybridkit.imagetext.albef import Albef, Design
from hybridkit.runs import provenance

RESULTS = Path(__file__).parent / "results"
WORDS = 250_002  # XLM-R's; the last is the one that stands for a hidden word
SHAPES = {
    "real": ({"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}, 6),
    "small": ({"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}, 1),
}


class Text(torch.nn.Module):
    """XLM-R of random weights with the mean of its states, as much of a sentence encoder as ALBEF asks for."""

    def __init__(self, shape: dict):
        super().__init__()
        config = XLMRobertaConfig(vocab_size=WORDS, max_position_embeddings=514, type_vocab_size=1, **shape)
        self.model = XLMRobertaModel(config, add_pooling_layer=False)
        self.tokenizer = SimpleNamespace(all_special_ids=[0, 1, 2, 3, WORDS - 1], mask_token_id=WORDS - 1)

    def __getitem__(self, place: int) -> "Text":
        return self

    def get_embedding_dimension(self) -> int:
        return self.model.config.hidden_size

    def forward(self, features: dict) -> dict:
        states = self.model(features["input_ids"], features["attention_mask"]).last_hidden_state
        return {"token_embeddings": states, "sentence_embedding": states.mean(1)}


def model(shape: dict, layers: int, size: int, queue: int) -> Albef:
    """The untrained model; all else as ALBEF has it."""
    torch.manual_seed(0)
    every = ["contrast", "matching", "masked-words"]
    design = Design(every, "cross", 256, layers, 0.995, queue, 0.4, 0.07, 64, seed=0)
    image = ViTModel(ViTConfig(image_size=size, patch_size=16, **shape), add_pooling_layer=False)
    return Albef(design, Text(shape), image)


def batch(step: int, count: int, size: int, tokens: int, device: str) -> dict:
    """Random pixels and words of a step, two captions an image, in two of eleven languages."""
    draw = torch.Generator().manual_seed(step)
    ids = step * count + torch.arange(count)
    found = {
        "pixels": torch.randn(count, 3, size, size, generator=draw),
        "ids": ids,
        "tokens": torch.randint(4, WORDS - 1, (2 * count, tokens), generator=draw),
        "mask": torch.ones(2 * count, tokens, dtype=torch.long),
        "text_ids": ids.repeat(2),
        "languages": torch.randint(11, (2 * count,), generator=draw),
        "differ": torch.ones(count, dtype=torch.bool),
    }
    return {name: tensor.to(device) for name, tensor in found.items()} | {"kind": "cross", "step": step}


def measured(asked: argparse.Namespace, device: str) -> dict:
    """Train a few steps; what they took."""
    shape, layers = SHAPES["small" if asked.small else "real"]
    albef = model(shape, layers, asked.size, asked.queue).to(device).train()
    optimiser = torch.optim.AdamW([p for p in albef.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.02)
    seconds, processor, losses = [], [], {}
    for step in range(asked.steps + 1):
        shown = batch(step, asked.batch, asked.size, asked.tokens, device)
        started, used = time.perf_counter(), time.process_time()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            parts = albef(shown, alpha=0.4)
        sum(parts.values()).backward()
        optimiser.step()
        optimiser.zero_grad()
        losses = {name: round(loss.item(), 3) for name, loss in parts.items()}  # waits for the GPU, too
        seconds.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    median = statistics.median(seconds[1:])
    trained = sum(p.numel() for p in albef.parameters() if p.requires_grad)
    return {
        "shape": "small" if asked.small else "XLM-R base, ViT-B/16, 6 fusion layers",
        "batch": asked.batch,
        "image_size": asked.size,
        "tokens": asked.tokens,
        "queue": asked.queue,
        "precision": "bfloat16" if device == "cuda" else "float32",
        "million_parameters_trained": round(trained / 1e6, 1),
        "million_parameters": round(sum(p.numel() for p in albef.parameters()) / 1e6, 1),
        "seconds_a_step": [round(one, 3) for one in seconds],
        "median_seconds": round(median, 3),
        "median_processor_seconds": round(statistics.median(processor[1:]), 3),
        "load_of_machine": round(os.getloadavg()[0], 1),
        "images_a_second": round(asked.batch / median, 2),
        "peak_gib": round(peak(device) / 2**30, 2),
        "losses_of_last_step": losses,
    }


def peak(device: str) -> int:
    """Bytes: of the GPU, or of the process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("batch", 2), ("size", 96), ("steps", 3), ("tokens", 32), ("queue", 65_536)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    found = {"device": name, "threads": torch.get_num_threads(), **measured(asked, device), "provenance": provenance()}
    print(json.dumps(found, indent=1))
    if not asked.small:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"albef-{name.lower().replace(' ', '-')}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
