"""Gradient training of a network as a lightning module."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, Sampler

from ...model.network import DensityNetwork, species_of
from ..options import GradientOptions
from .quadratic import quadratic_form
from .samples import Batch, Sample


class DensityTraining(lightning.LightningModule):
    """Minimise the mean density error per electron in the metric of the samples.

    Parameters
    ----------
    network
        Trained in place, in the precision that it has.
    options
        Learning rate and clipping.
    scale
        Loss of the density of free atoms; the logged errors are relative to it.
    """

    def __init__(self, network: DensityNetwork, options: GradientOptions, scale: float) -> None:
        super().__init__()
        self.network = network
        self.options = options
        self.scale = scale

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        """Loss of one batch, relative to the loss of free atoms."""
        loss = density_loss(self.network, batch).mean() / self.scale
        self.log("training_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.targets))
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the error of one validation batch."""
        loss = density_loss(self.network, batch).mean() / self.scale
        self.log("validation_loss", loss, prog_bar=True, batch_size=len(batch.targets))

    def configure_optimizers(self) -> Any:
        """Adam with one cycle of the learning rates over all steps.

        Each tensor of weights moves in proportion to its own size: the closed-form start gives
        them sizes that differ by orders of magnitude, and one rate for all destroys it.
        """
        parameters = [p for p in self.network.parameters() if p.requires_grad and p.numel() > 0]
        rates = [self.options.learning_rate * _size(p) for p in parameters]
        groups = [{"params": [p], "lr": rate} for p, rate in zip(parameters, rates, strict=True)]
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=rates,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=0.1,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Lightning does not look into frozen dataclasses."""
        return batch.to(device)


def _size(parameter: torch.Tensor) -> float:
    """Root mean square of the weights, or 1 where they are all zero."""
    return float(parameter.detach().square().mean().sqrt()) or 1.0


def density_loss(network: DensityNetwork, batch: Batch) -> torch.Tensor:
    """dc^T M dc per electron for each structure of a batch: (n_structures,)."""
    outputs = [
        species.orthonormal(expansion)
        for species, expansion in zip(species_of(network), batch.expansions, strict=True)
    ]
    errors = [
        prediction - target
        for prediction, target in zip(batch.split(outputs), batch.targets, strict=True)
    ]
    losses = [
        quadratic_form(error, metric) / electrons
        for error, metric, electrons in zip(errors, batch.metrics, batch.electrons, strict=True)
    ]
    return torch.stack(losses)


def mean_loss(network: DensityNetwork, samples: Sequence[Sample], batch_size: int = 16) -> float:
    """Mean of :func:`density_loss` over samples."""
    total = 0.0
    dtype = next(network.parameters()).dtype
    with torch.no_grad():
        for start in range(0, len(samples), batch_size):
            batch = Batch.of(convert(samples[start : start + batch_size], dtype))
            total += float(density_loss(network, batch).sum())
    return total / len(samples)


def loss_of_free_atoms(samples: Sequence[Sample]) -> float:
    """Mean loss of predicting no deformation density (no density, without a baseline)."""
    losses = [float(s.target @ s.apply_metric(s.target)) for s in samples]
    return sum(losses) / len(losses)


def convert(samples: Sequence[Sample], dtype: torch.dtype) -> list[Sample]:
    """Samples in another precision."""
    return [
        dataclasses.replace(
            s,
            expansions=tuple(e.to(dtype) for e in s.expansions),
            target=s.target.to(dtype),
            metric=s.metric.to(dtype),
        )
        for s in samples
    ]


class SeededSampler(Sampler[int]):
    """Random order that depends on the seed and the epoch alone, also after a restart."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return iter(torch.randperm(self.size, generator=generator).tolist())


def loader(
    samples: Sequence[Sample], batch_size: int, sampler: Sampler[int] | None = None
) -> DataLoader[Sample]:
    """Batches of samples; the whole data set is in memory, so that no workers are needed."""
    return DataLoader(
        list(samples),  # type: ignore[arg-type]
        batch_size=min(batch_size, len(samples)),
        sampler=sampler,
        drop_last=sampler is not None,
        collate_fn=Batch.of,
    )
