"""Gradient training of a network as a lightning module."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, Sampler

from ...model.network import CoupledProduct, DensityNetwork
from ..options import GradientOptions
from .frozen import FrozenNetwork
from .samples import Batch, Learner, Sample, predict
from .steps import epoch_order, typical_size
from .symmetric import quadratic_form

#: Fraction of the steps in which the one-cycle schedule warms up.
_WARM_UP = 0.1


class DensityTraining(lightning.LightningModule):
    """Minimise the mean density error per electron in the metric of the samples.

    Parameters
    ----------
    network
        Trained in place, in the precision that it has.
    options
        Learning rate and schedule.
    scale
        Loss of the density of free atoms; the logged errors are relative to it.
    """

    def __init__(
        self, network: DensityNetwork | FrozenNetwork, options: GradientOptions, scale: float
    ) -> None:
        super().__init__()
        self.network = network
        self.options = options
        self.scale = scale
        for parameter in unused_parameters(network):
            parameter.requires_grad_(False)  # processes that share the work wait for gradients
        self.trained = [p for p in network.parameters() if p.requires_grad]
        self.sizes = [rounded_size(parameter) for parameter in self.trained]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the sizes that weights had at the start, by which the optimizer groups them."""
        checkpoint["sizes"] = self.sizes

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them from there."""
        self.sizes = checkpoint["sizes"]

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        """Loss of one batch, relative to the loss of free atoms."""
        loss = density_loss(self.network, batch).mean() / self.scale
        self._log("training_loss", loss, batch, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the error of one validation batch."""
        loss = density_loss(self.network, batch).mean() / self.scale
        self._log("validation_loss", loss, batch, prog_bar=True)

    def _log(self, name: str, loss: torch.Tensor, batch: Batch, **options: bool) -> None:
        self.log(name, loss, batch_size=len(batch.targets), sync_dist=True, **options)

    def configure_optimizers(self) -> Any:
        """AdamW; each tensor of weights moves in proportion to its own size.

        The closed-form start gives them sizes that differ by orders of magnitude, and one rate
        for all destroys it. Weights of about one size make one group: with few of them the
        optimizer is faster.
        """
        options = self.options
        groups = [
            {
                "params": [p for p, of in zip(self.trained, self.sizes, strict=True) if of == size],
                "size": size,
                "lr": options.learning_rate * size,
                # AdamW multiplies by the learning rate, which has the size in it already
                "weight_decay": options.weight_decay / size,
            }
            for size in sorted(set(self.sizes))
        ]
        # lightning does not clip gradients for the fused one in mixed precision
        fused = options.precision != "bfloat16"
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=fused)
        schedule = self._schedule(optimizer, [float(group["lr"]) for group in groups])  # type: ignore[arg-type]
        if schedule is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _schedule(self, optimizer: torch.optim.Optimizer, rates: list[float]) -> Any:
        steps = int(self.trainer.estimated_stepping_batches)
        schedules = torch.optim.lr_scheduler
        if self.options.schedule == "one-cycle":
            return schedules.OneCycleLR(
                optimizer, max_lr=rates, total_steps=steps, pct_start=_WARM_UP
            )
        if self.options.schedule == "cosine":
            return schedules.CosineAnnealingLR(optimizer, T_max=steps)
        return None

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Lightning does not look into frozen dataclasses."""
        return batch.to(device)


def rounded_size(parameter: torch.Tensor) -> float:
    """Typical size of the weights, to the next power of two.

    >>> [rounded_size(torch.tensor([size])) for size in (0.9, 1.1, 5.0)]
    [1.0, 1.0, 4.0]
    """
    return 2.0 ** round(math.log2(typical_size(parameter)))


def unused_parameters(network: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Parameters that no output depends on: those of size 0, and linear parts that are absent."""
    empty = [p for p in network.parameters() if p.numel() == 0]
    products = [module for module in network.modules() if isinstance(module, CoupledProduct)]
    return empty + [p.linear for p in products if not p.has_linear]


def density_loss(network: Learner, batch: Batch) -> torch.Tensor:
    """dc^T M dc per electron for each structure of a batch: (n_structures,).

    Where the reference is given by its projections w, it is that up to what M c = w leaves
    undetermined: c^T M c - 2 c^T w + constant.
    """
    predictions = batch.split(predict(network, batch))
    # autocast would round the metric to 16 bits
    with torch.autocast(batch.targets[0].device.type, enabled=False):
        losses = [_loss(p, batch, index) for index, p in enumerate(predictions)]
    return torch.stack(losses)


def _loss(prediction: torch.Tensor, batch: Batch, index: int) -> torch.Tensor:
    target, residual = batch.targets[index], batch.residuals[index]
    error = prediction.to(target.dtype) - target
    metric = batch.metrics[index].to(target.dtype)
    loss = quadratic_form(error, metric)
    if residual is not None:
        loss = loss + 2 * (error @ residual.to(target.dtype))
    return loss / batch.electrons[index]


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
    """Samples in another precision; metrics, which are large, keep theirs."""
    return [
        dataclasses.replace(
            s,
            expansions=tuple(e.to(dtype) for e in s.expansions),
            target=s.target.to(dtype),
            pairs=None if s.pairs is None else s.pairs.to_dtype(dtype),
        )
        for s in samples
    ]


class SeededSampler(Sampler[int]):
    """Random order that depends on the seed and the epoch alone, also after a restart.

    Several processes take turns, so that their batches together are the batches that one
    process would have had with the sum of their sizes.

    >>> [list(SeededSampler(5, seed=0, rank=rank, processes=2)) for rank in range(2)]
    [[4, 1], [0, 3]]
    """

    def __init__(self, size: int, seed: int, *, rank: int = 0, processes: int = 1) -> None:
        self.size = size
        self.seed = seed
        self.rank, self.processes = rank, processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size // self.processes

    def __iter__(self) -> Iterator[int]:
        order = epoch_order(self.size, self.seed, self.epoch).tolist()
        return iter(order[self.rank :: self.processes][: len(self)])


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
